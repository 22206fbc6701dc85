"""Who does the work of an ensemble: threads of this machine, or the workers of a Dask cluster, through joblib."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

import joblib

from bdsim.errors import BdsimError, UsageError
from bdsim.model.machine_code import WIDTH

__all__ = ["Workers", "ahead", "are_at_work"]


class Sent(Protocol):
    """What can be sent to another machine: it says by which program."""

    @property
    def program(self) -> str: ...


T = TypeVar("T", bound=Sent)
R = TypeVar("R")
K = TypeVar("K")
A = TypeVar("A")
WAVE = 16  # tasks a worker of a cluster before the next are handed out: bounds the results that wait to be kept
HEED = 0.2  # seconds between two looks at whether somebody asked to stop
AHEAD = 2  # tasks a thread that are handed out: one at work, one that waits
THREADS = "bdsim-members"
PATIENCE = 15  # seconds for a scheduler to answer


@dataclass(frozen=True)
class Workers:
    """How many threads (None: one a core), or the address of a Dask scheduler; members handed out at a time.

    `members_at_a_time` counts in whole parts: of eight, or in single precision of sixteen. Once `stop` is set, nothing
    more is begun, and what threads have at work is finished; a cluster's tasks in flight are given up. Raises
    UsageError for numbers below 1.
    """

    threads: int | None = None
    scheduler: str | None = None
    members_at_a_time: int = WIDTH
    stop: threading.Event = field(default_factory=threading.Event, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("--workers", self.threads), ("--chunk", self.members_at_a_time)):
            if value is not None and value < 1:
                raise UsageError(f"{value} is not a number of at least 1", where=name)
        if self.scheduler is not None and self.threads is not None:
            raise UsageError(
                "has no meaning with --scheduler, whose workers have threads of their own", where="--workers"
            )

    def parts_at_a_time(self, width: int) -> int:
        """How many parts of `width` members are handed out at a time."""
        return -(-self.members_at_a_time // width)

    def each(
        self, work: Callable[[T], R], keep: Callable[[R], K], tasks: Iterable[T], at_most: int
    ) -> Iterator[K]:  # fmt: skip
        """What `keep` makes of the `work` of every task, as they finish.

        Threads keep what they have made, side by side; what a cluster makes is kept here. No more wait to be taken
        than the workers can make meanwhile. Raises what `work` and `keep` raise, UsageError when the scheduler does not
        answer or has no workers, and KeyboardInterrupt once all that is left has been taken after `stop`.
        """
        if self.scheduler is None:
            jobs = max(1, min(self.threads or joblib.cpu_count(), at_most))
            yield from self._on_threads(lambda task: keep(work(task)), tasks, jobs)
        else:
            yield from map(keep, self._on_cluster(work, tasks, self.scheduler))
        if self.stop.is_set():
            raise KeyboardInterrupt

    def _on_threads(self, work: Callable[[T], K], tasks: Iterable[T], jobs: int) -> Iterator[K]:
        """Threads of our own, since joblib cannot stop handing out; even one, so that Ctrl-C is heard meanwhile."""
        waiting, running = iter(tasks), set[Future[K]]()
        pool = ThreadPoolExecutor(jobs, thread_name_prefix=THREADS)
        try:
            while True:
                free = 0 if self.stop.is_set() else AHEAD * jobs - len(running)
                running |= {pool.submit(work, task) for task in islice(waiting, free)}
                if self.stop.is_set():
                    running = {future for future in running if not future.cancel()}
                if not running:
                    return
                done, running = wait(running, timeout=HEED, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _on_cluster(self, work: Callable[[T], R], tasks: Iterable[T], scheduler: str) -> Iterator[R]:
        """The workers of a Dask cluster, through joblib."""
        with _cluster(scheduler):
            # Bytes are sent with each task; joblib would leave anything else large with one worker, which may die.
            packed = ((task.program, pickle.dumps((work, task))) for task in tasks)
            with joblib.Parallel(return_as="generator_unordered", pre_dispatch="all", batch_size=1) as parallel:
                size = WAVE * parallel._effective_n_jobs()
                while wave := list(islice(packed, size)):
                    for made in parallel(joblib.delayed(_unpacked_work)(*sent) for sent in wave):
                        yield made
                        if self.stop.is_set():
                            return


def ahead(work: Callable[[A], K], each: Iterable[A]) -> Iterator[K]:
    """What comes of `work` on each, in order; a thread is at the next while one is taken."""
    waiting = iter(each)
    with ThreadPoolExecutor(1) as pool:
        at_work = [pool.submit(work, one) for one in islice(waiting, 1)]
        while at_work:
            made = at_work.pop().result()
            at_work = [pool.submit(work, one) for one in islice(waiting, 1)]
            yield made


def are_at_work() -> bool:
    """Whether threads of a run that was given up still finish what nobody waits for."""
    return any(thread.name.startswith(THREADS) for thread in threading.enumerate())


def _unpacked_work(program: str, packed: bytes) -> Any:
    """On a worker: the work that was sent by the program of this hash, unpacked only by the same."""
    from bdsim.runs.identity import program_hash

    if program != program_hash():
        raise BdsimError(
            f"the worker on {socket.gethostname()} has another version of bdsim than this machine "
            f"({program_hash()} against {program}); install the same on all"
        )
    work, task = pickle.loads(packed)
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
