"""How much memory there is to work with."""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["available"]

CONTAINER = Path("/sys/fs/cgroup")  # Linux: what a container may use


def available() -> int:
    """Bytes that this process may still take: what the system has free, or what its container leaves, if less."""
    free = int(psutil.virtual_memory().available)
    try:
        most, used = ((CONTAINER / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return min(free, max(int(most) - int(used), 0)) if most != "max" else free
    except (OSError, ValueError):  # no container, or one of another kind
        return free
