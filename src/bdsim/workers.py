"""Who does the work of an ensemble: threads of this machine, or the workers of a Dask cluster, through joblib."""

from __future__ import annotations

import contextlib
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import joblib

from bdsim.errors import BdsimError, UsageError
from bdsim.lanes import WIDTH

__all__ = ["Workers"]

T = TypeVar("T")
R = TypeVar("R")
WAVE = 16  # tasks a worker before the next are handed out: what bounds the results that wait to be kept
PATIENCE = 15  # seconds for a scheduler to answer


@dataclass(frozen=True)
class Workers:
    """How many threads (None: one a core), or the address of a Dask scheduler; members handed out at a time.

    `members_at_a_time` counts in whole parts of eight. Raises UsageError for numbers below 1.
    """

    threads: int | None = None
    scheduler: str | None = None
    members_at_a_time: int = WIDTH

    def __post_init__(self) -> None:
        for name, value in (("--workers", self.threads), ("--chunk", self.members_at_a_time)):
            if value is not None and value < 1:
                raise UsageError(f"{value} is not a number of at least 1", where=name)
        if self.scheduler is not None and self.threads is not None:
            raise UsageError(
                "has no meaning with --scheduler, whose workers have threads of their own", where="--workers"
            )

    @property
    def parts_at_a_time(self) -> int:
        return -(-self.members_at_a_time // WIDTH)

    def each(self, work: Callable[[T], R], tasks: Iterable[T], at_most: int) -> Iterator[R]:
        """`work` of every task, as they finish; at most WAVE results a worker wait to be taken.

        Raises what `work` raises, UsageError when the scheduler does not answer or has no workers.
        """
        if self.scheduler is None:
            jobs = max(1, min(self.threads or joblib.cpu_count(), at_most))
            yield from _in_waves(joblib.Parallel(n_jobs=jobs, prefer="threads", **HOW), work, tasks)
            return
        with _cluster(self.scheduler):
            # Bytes are sent with each task; joblib would leave anything else large with one worker, which may die.
            packed = (pickle.dumps((work, task)) for task in tasks)
            yield from _in_waves(joblib.Parallel(**HOW), _unpacked_work, packed)


HOW: dict[str, Any] = {"return_as": "generator_unordered", "pre_dispatch": "all", "batch_size": 1}


def _in_waves(parallel: Any, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    waiting = iter(tasks)
    with parallel:
        size = WAVE * parallel._effective_n_jobs()
        while wave := list(islice(waiting, size)):
            yield from parallel(joblib.delayed(work)(task) for task in wave)


def _unpacked_work(packed: bytes) -> Any:
    """On a worker: the work that was sent, from the program that sent it."""
    work, task = pickle.loads(packed)
    from bdsim.plan import program_hash

    if task.program != program_hash():
        raise BdsimError(
            f"the worker on {socket.gethostname()} has another version of bdsim than this machine "
            f"({program_hash()} against {task.program}); install the same on all"
        )
    return work(task)


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[None]:
    """joblib hands its tasks to the cluster at `address`."""
    try:
        from dask.distributed import Client
    except ModuleNotFoundError:
        raise UsageError("needs Dask: pip install 'bdsim-migration[dask]'", where="--scheduler") from None
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address} ({error})", where="--scheduler") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise UsageError(f"the scheduler at {address} has no workers", where="--scheduler") from None
        with joblib.parallel_config(backend="dask", client=client):
            yield
