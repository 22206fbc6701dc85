"""bdsim check reads what scenarios and fits stand on, and names each mistake once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bdsim.cli.main import app

pytestmark = pytest.mark.one_python


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("calibration/targets.toml", "denominator = [2010, 2018]", "denominator = [2022, 2040]", "years 2022-2040"),
        ("calibration/evidence/doctorates.csv", "2010,china,3457\n", "", "doctorates.csv: no row for 2010 of china"),
        ("calibration/sources.toml", "[retention]", "[retntion]", "no source for the facts 'retention'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_once(
    here: Path, capsys: pytest.CaptureFixture[str], file: str, before: str, after: str, said: str
) -> None:
    text = (here / file).read_text(encoding="utf-8")
    assert before in text
    (here / file).write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        app(["check"], standalone_mode=False)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_shipped_scenarios_are_fine_and_say_when_they_end(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["check", "--json"], standalone_mode=False)
    found = {row["scenario"]: row for row in json.loads(capsys.readouterr().out)}
    assert all(row["ok"] for row in found.values())
    assert found["baseline"]["message"] == found["us-retention-package"]["message"] == "ok"
    assert found["nih-cut"]["message"] == "ok; lever 'NIH cut' ends in 2029: from 2030 on nih_funding is as without it"
