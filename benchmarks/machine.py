"""Where numbers were measured: processor, versions, and one core to measure on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import c_engines
from bdsim.runs.plan import versions

__all__ = ["described", "pin"]


def pin() -> int | None:
    """Keep this process on one core, the last it may use; returns its number, None where that cannot be asked."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def vector_bits() -> int | None:
    """The widest vectors of doubles that the processor computes with; None where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    known = next((line.split() for line in text.splitlines() if line.startswith(("flags", "Features"))), [])
    widths = {"avx512f": 512, "avx2": 256, "sse2": 128, "asimd": 128}  # widest first
    return next((bits for flag, bits in widths.items() if flag in known), None)


def described() -> dict[str, Any]:
    """The machine and what runs on it, as plain JSON values."""
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "vector_bits": vector_bits(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gcc": c_engines.compiler_version(),
        "c_flags": " ".join((*c_engines.FLAGS[:5], c_engines.EXACT)),
        "c_sources": c_engines.source_hash(),
        "versions": versions(),
    }
