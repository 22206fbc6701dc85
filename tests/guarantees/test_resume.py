"""An interrupted calibration goes on where it stopped, and ends with the same bytes."""

from functools import partial

import pytest

from bdsim.calibration import fitting
from bdsim.calibration.posterior import CHUNK
from bdsim.study.layout import create_study

pytestmark = pytest.mark.one_python
PROPOSALS = 6 * CHUNK


@pytest.fixture(scope="module")
def quick():
    """A calibration of two parameters at a coarse scale, which counts the points that it asks the model about."""
    asked = []

    def counting(problem, points):
        asked.extend(points)
        return whole(problem, points)

    whole = fitting.Problem.models
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting.Problem, "models", counting)
        patch.setattr(fitting, "make_problem", partial(fitting.make_problem, researchers_per_agent=400))
        patch.setattr(fitting, "explore", partial(fitting.explore, proposals=PROPOSALS))
        yield partial(fitting.calibrate, name="mine", free=["push", "funding"], starts=2), asked


@pytest.fixture(scope="module")
def in_one_go(quick, tmp_path_factory):
    """The folder of the fit that nobody interrupted, and how many points it asked about."""
    calibrate, asked = quick
    through = create_study(tmp_path_factory.mktemp("resume") / "through")
    asked.clear()
    calibrate(through)
    return through.fitted / "mine", len(asked)


def stop_at(stage, when):
    """A report during which someone presses Ctrl-C."""

    def report(now, done, _total):
        if (now, done) == (stage, when):
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(("stage", "when"), [("starts", 1), ("posterior", 3 * CHUNK), ("checks", 0)])
def test_an_interrupted_calibration_goes_on_and_ends_with_the_same_bytes(quick, in_one_go, tmp_path, stage, when):
    calibrate, asked = quick
    through, points = in_one_go
    resumed = create_study(tmp_path / "resumed")
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        calibrate(resumed, report=stop_at(stage, when))
    assert not (resumed.fitted / "mine").exists()
    calibrate(resumed)
    again = len(asked) - points  # the Jacobians at the optimum are cheap and not kept
    assert again <= 12
    files = sorted(p.name for p in through.iterdir())
    assert files == sorted(p.name for p in (resumed.fitted / "mine").iterdir())
    for file in files:
        assert (through / file).read_bytes() == (resumed.fitted / "mine" / file).read_bytes(), file
    assert not (resumed.fitted / ".mine.unfinished").exists()


def test_what_was_kept_for_another_problem_or_cut_short_is_not_used(quick, tmp_path):
    calibrate, asked = quick
    study, fresh = create_study(tmp_path / "study"), create_study(tmp_path / "fresh")
    asked.clear()
    expected = calibrate(fresh, fix={"rho": 0.8})
    anew = len(asked)
    with pytest.raises(KeyboardInterrupt):
        calibrate(study, report=stop_at("posterior", CHUNK))
    with pytest.raises(KeyboardInterrupt):
        calibrate(study, fix={"rho": 0.8}, report=stop_at("posterior", CHUNK))
    for kept in (study.fitted / ".mine.unfinished").iterdir():
        kept.write_text(kept.read_text()[:-1])
    asked.clear()
    found = calibrate(study, fix={"rho": 0.8})
    assert len(asked) == anew
    assert found.optimum.cost == expected.optimum.cost
    assert (found.posterior.draws == expected.posterior.draws).all()
