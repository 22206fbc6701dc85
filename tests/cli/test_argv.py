"""No command line ends in a traceback: options are spoilt as files are, and streams and encodings are odd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdsim.cli.main import COMMAND_LINE_ERROR, app
from bdsim.errors import BdsimError, StudyError
from bdsim.study.layout import Study, create_study

pytestmark = pytest.mark.one_python

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
QUICK = ["-m", "1", "-k", "5000", "--horizon", "2024"]
# What is right of each command, as little work as it takes; one or two values of it are then spoilt.
RIGHT = {
    "run": ["baseline"],
    "compare": ["baseline", "protect-act"],
    "export": ["baseline", "-o", "out.csv", "--force"],
    "verify": ["results/absent"],
    "retry": ["results/absent"],
    "reproduce": ["results/absent"],
    "attribute": ["protect-act", "--draws", "1"],
    "breakeven": ["baseline", "--lever", "us_funding", "--target", "departures:2020<=100", "--draws", "1"],
    "sensitivity": ["baseline", "--samples", "2", "--lever", "us_funding=0.5..2", "--years", "2010-2012"],
    "regret": [
        "--policies",
        "baseline,protect-act",
        "--futures",
        "baseline",
        "--of",
        "departures:2020",
        "--draws",
        "1",
    ],
    "check": ["baseline"],
    "diff": ["baseline", "protect-act"],
    "evidence": [],
    "parameters": [],
    "init": ["fresh"],
}
SPOILT = [
    "", "-", "0", "-1", "1e400", "nan", "inf", "9" * 25, "a", "\u00e9\u202e", "a\0b", "..", "/", "/dev/null", "x" * 300,
    "[x]", "{}", "'", "1990-1995", "2030-2020", "2090-2200", "2012", "x=y", "push=0.5", "push=nan", "us_funding=0.5..2",
    "us_funding=2..0.5", "us_funding=nan..2", "offers=1..2", "departures:2200<=1", "departures:2020<=nan", "0,1", "1,0",
    "nan,1", "signed=2", "signed=nan", "protect-act", "baseline,baseline", "none", "sobol", "dask", "posterior", "iamc",
    "multiply", "us_funding", "scenarios/baseline.toml", "calibration/parameters.toml", "results",
]  # fmt: skip


@pytest.fixture(scope="module")
def quick_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return create_study(tmp_path_factory.mktemp("argv") / "study")


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(RIGHT)))
    words, parameters = [name, *RIGHT[name]], [p for p in COMMANDS[name].params if p.name != "help"]
    if any(p.name == "chunk" for p in parameters):
        words += QUICK
    for parameter in draw(st.lists(st.sampled_from(parameters), min_size=1, max_size=2)) if parameters else []:
        value = draw(st.sampled_from(SPOILT))
        if parameter.param_type_name == "argument":
            words.insert(1, value) if draw(st.booleans()) or not RIGHT[name] else words.__setitem__(1, value)
        else:
            words += [parameter.opts[-1], *([] if getattr(parameter, "is_flag", False) else [value])]
    return words


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(words=command_lines())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of members that failed, which a person is to see
def test_any_words_end_in_an_answer_or_in_one_line(
    quick_study: Study, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    monkeypatch.chdir(quick_study.root)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)  # most of the time of a run
    shutil.rmtree("fresh", ignore_errors=True)
    try:
        app(list(words), standalone_mode=False)
    except (BdsimError, COMMAND_LINE_ERROR) as error:
        assert len(str(error).splitlines()) <= 1, words
    except SystemExit as ended:
        assert ended.code in (0, 1, 2), words
    except OSError as error:
        assert error.strerror, words  # which main() says with the file's name


def ended(words: Sequence[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bdsim", *words], cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip


def test_an_accent_in_a_path_is_fine_whatever_the_locale(tmp_path: Path) -> None:
    study = create_study(tmp_path / "étude")
    shutil.copy(study.scenario_file("no-initiative"), study.scenarios / "pas-d-été.toml")
    odd = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = ended(["run", "pas-d-été", *QUICK], study.root, **odd)
    assert done.returncode == 0, done.stderr
    (folder,) = study.results.glob("pas-d-été-*")
    assert (folder / "manifest.json").is_file() and "Traceback" not in done.stderr
    missing = ended(["check", "été"], study.root, **odd)
    assert missing.returncode == 2 and len(missing.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_folder_whose_name_is_not_text_is_one_line(tmp_path: Path) -> None:
    study = create_study(tmp_path / "study")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    study.root.rename(odd)
    done = ended(["run", "baseline", *QUICK], odd)
    assert done.returncode == 2 and "not UTF-8 text" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["evidence"], ["evidence", "--json"], ["schema"]])
def test_a_reader_that_goes_away_is_no_failure(study: Study, words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bdsim", *words], cwd=study.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stdout is not None and command.stderr is not None
        command.stdout.close()
        said = command.stderr.read()
        assert (command.wait(120), said) == (0, b"")


def test_a_fresh_study_has_nothing_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody adds to a checkout, or leaves unfinished in it, is not shipped."""
    checkout = create_study(tmp_path / "checkout").root
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=checkout, check=True)
    before = {p.relative_to(checkout) for p in checkout.rglob("*") if p.is_file() and ".git" not in p.parts}
    for own in ("scenarios/mine.toml", "calibration/evidence/mine.csv", "calibration/fitted/mine/manifest.json"):
        (checkout / own).parent.mkdir(parents=True, exist_ok=True)
        (checkout / own).write_text("mine", encoding="utf-8")
    (checkout / "calibration/fitted/.mine.unfinished").mkdir()
    monkeypatch.setattr("bdsim.study.layout.template", lambda: checkout)
    fresh = create_study(tmp_path / "fresh").root
    assert {p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file()} == before
    shutil.rmtree(checkout / ".git")  # as an unpacked archive
    fresh = create_study(tmp_path / "another").root
    assert (fresh / "scenarios/mine.toml").is_file() and not (fresh / "calibration/fitted/.mine.unfinished").exists()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be made: File name too long"):
        create_study(tmp_path / ("x" * 300))


def test_only_finished_fits_are_offered(fresh_study: Study) -> None:
    before = fresh_study.fit_names()
    for name in (".mine.unfinished", "mine", "half"):
        (fresh_study.fitted / name).mkdir(parents=True)
        (fresh_study.fitted / name / ("draws.csv" if name == "half" else "manifest.json")).touch()
    assert fresh_study.fit_names() == sorted([*before, "mine"])
