"""An interrupted calibration goes on where it stopped, and ends with the same bytes."""

from functools import partial

import pytest

from bdsim.calibration import fitting
from bdsim.study.layout import create_study

pytestmark = pytest.mark.one_python


@pytest.fixture
def quick(monkeypatch):
    """A calibration of two parameters at a coarse scale, which counts the points that it asks the model about."""
    asked = []

    def counting(problem, points):
        asked.extend(points)
        return whole(problem, points)

    whole = fitting.Problem.models
    monkeypatch.setattr(fitting.Problem, "models", counting)
    monkeypatch.setattr(fitting, "make_problem", partial(fitting.make_problem, researchers_per_agent=400))
    monkeypatch.setattr(fitting, "explore", partial(fitting.explore, proposals=800))
    return partial(fitting.calibrate, name="mine", free=["push", "funding"], starts=2), asked


def stop_at(stage, when):
    """A report during which someone presses Ctrl-C."""

    def report(now, done, _total):
        if (now, done) == (stage, when):
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(("stage", "when"), [("starts", 1), ("posterior", 600), ("checks", 0)])
def test_an_interrupted_calibration_goes_on_and_ends_with_the_same_bytes(quick, tmp_path, stage, when):
    calibrate, asked = quick
    through, resumed = (create_study(tmp_path / name) for name in ("through", "resumed"))
    calibrate(through)
    in_one_go = len(asked)
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        calibrate(resumed, report=stop_at(stage, when))
    assert not (resumed.fitted / "mine").exists()
    calibrate(resumed)
    again = len(asked) - in_one_go  # the Jacobian at the optimum is cheap and not kept
    assert again <= 10
    files = sorted(p.name for p in (through.fitted / "mine").iterdir())
    assert files == sorted(p.name for p in (resumed.fitted / "mine").iterdir())
    for file in files:
        assert (through.fitted / "mine" / file).read_bytes() == (resumed.fitted / "mine" / file).read_bytes(), file
    assert not (resumed.fitted / ".mine.unfinished").exists()


def test_what_was_kept_for_another_problem_or_cut_short_is_not_used(quick, tmp_path):
    calibrate, asked = quick
    study, fresh = create_study(tmp_path / "study"), create_study(tmp_path / "fresh")
    expected = calibrate(fresh, fix={"rho": 0.8})
    in_one_go = len(asked)
    with pytest.raises(KeyboardInterrupt):
        calibrate(study, report=stop_at("posterior", 200))
    with pytest.raises(KeyboardInterrupt):
        calibrate(study, fix={"rho": 0.8}, report=stop_at("posterior", 200))
    for kept in (study.fitted / ".mine.unfinished").iterdir():
        kept.write_text(kept.read_text()[:-1])
    asked.clear()
    found = calibrate(study, fix={"rho": 0.8})
    assert len(asked) == in_one_go  # everything anew
    assert found.optimum.cost == expected.optimum.cost
    assert (found.posterior.draws == expected.posterior.draws).all()
