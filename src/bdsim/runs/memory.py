"""How much memory there is to work with, and how much a run asks for."""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["asked_for", "available"]

# Held against the peak of real runs by benchmarks/reliability.py.
BYTES_AT_LEAST = 100_000_000  # tables on their way to the disk, whatever the number of people
BYTES_PER_PERSON = 330  # people, and what is needed to make them
BYTES_PER_STATE = 50  # of each member that runs at the same time, on two threads

CONTAINER = Path("/sys/fs/cgroup")  # Linux: what a container may use


def available() -> int:
    """Bytes that this process may still take: what the system has free, or what its container leaves, if less."""
    free = int(psutil.virtual_memory().available)
    try:
        most, used = ((CONTAINER / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return min(free, max(int(most) - int(used), 0)) if most != "max" else free
    except (OSError, ValueError):  # no container, or one of another kind
        return free


def asked_for(agents: float, side_by_side: int) -> float:
    """Bytes that a run of so many agents needs, with so many members side by side."""
    return BYTES_AT_LEAST + agents * (BYTES_PER_PERSON + BYTES_PER_STATE * side_by_side)
