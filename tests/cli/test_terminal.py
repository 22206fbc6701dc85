"""What the terminal says while one waits."""

from __future__ import annotations

import pytest

from bdsim.cli import terminal


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def said(monkeypatch):
    """Every line that is told."""
    lines = []
    monkeypatch.setattr(terminal, "note", lines.append)
    return lines


def test_what_the_first_members_wait_for_does_not_spoil_the_time_left(clock, said, monkeypatch):
    """Half a minute of compiling before the first eight, then eight a second: twenty-three seconds are left of 200."""
    monkeypatch.setattr(terminal, "QUIET", 0.5)
    report = terminal._progress_lines("a run", "members")
    report(0, 200)
    clock[0] += 30.0
    report(8, 200)
    clock[0] += 1.0
    report(16, 200)
    assert said == ["a run ...", "a run: 16 of 200 members, 8 a second, 23 s left"]


def test_members_that_were_there_count_for_no_speed(clock):
    pace = terminal.Pace()
    assert pace.rate(120) == 0.0
    clock[0] += 5.0
    assert pace.rate(128) == 0.0  # the first of this run
    clock[0] += 2.0
    assert pace.rate(136) == pytest.approx(4.0)


def test_threads_that_end_together_tell_no_pace(clock, said):
    """Two groups of sixteen arrive in one hundredth of a second after the compiler: no line claims 1,600 a second."""
    report = terminal._progress_lines("a run", "members")
    report(0, 64)
    clock[0] += 20.0
    report(16, 64)
    clock[0] += 0.01
    report(32, 64)
    assert said == ["a run ..."]
