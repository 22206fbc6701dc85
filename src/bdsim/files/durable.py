"""Files and folders that are whole or not there: written aside, flushed to the disk, then renamed into place.

One process at a time works on a target. The operating system holds the lock and drops it when the process ends; the
lock's file, beside the target, holds the number of that process for an error message.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bdsim.errors import StorageError

__all__ = [
    "SEAL",
    "hash_of",
    "locked",
    "new_folder",
    "publish",
    "put_in_place",
    "refusals",
    "restored",
    "sealed",
    "signed",
    "tidied",
    "unfinished",
    "write_file",
]

SEAL = "SHA256SUMS"  # in each folder of results, as `sha256sum -c` reads it
PATIENCE = 0.2  # seconds to wait for a process that is about to let go of the lock


def unfinished(target: Path) -> Path:
    """The folder that keeps what is done of `target`, for the next try to go on from."""
    return target.parent / f".{target.name}.unfinished"


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other processes off `target`. Raises StorageError that names the one at work on it."""
    path = _lock_of(target)
    with refusals(target):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        with refusals(target):
            lock.acquire(timeout=PATIENCE)
    except Timeout:
        owner = ""
        with contextlib.suppress(OSError):  # it has just ended
            owner = path.read_text(encoding="ascii", errors="replace").strip()
        owner = owner or "(unknown)"
        raise StorageError(f"process {owner} is writing it; wait for that process, or stop it", where=target) from None
    try:
        if os.name != "nt":  # Windows lets nobody write to, or remove, a locked file
            with refusals(target):
                path.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        if os.name != "nt":
            path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `target` when all went well, and leaves nothing when not.

    Raises StorageError when it cannot be written, or when another process is at work on it.
    """
    with locked(target):
        aside = target.parent / f".{target.name}.writing"
        try:
            with refusals(target):
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir(parents=True)
                yield aside
                put_in_place(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def put_in_place(aside: Path, target: Path) -> None:
    """Flush everything in `aside` to the disk, then let it be `target`; what was there before goes last."""
    for path in sorted(aside.rglob("*")):
        _flush(path)
    _flush(aside)
    before = _predecessor(target)
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        target.rename(before)
    aside.rename(target)
    _flush(target.parent)
    shutil.rmtree(before, ignore_errors=True)


def restored(target: Path) -> None:
    """Bring `target` back if the process was killed after the old folder was moved away and before the new one came."""
    if not target.exists() and _predecessor(target).exists():
        with contextlib.suppress(StorageError), locked(target):
            if not target.exists() and _predecessor(target).exists():
                _predecessor(target).rename(target)


def tidied(target: Path) -> None:
    """Delete what a kill in the last steps of a finished run left behind. The parts of an unfinished run stay."""
    left = (unfinished(target), _predecessor(target), _lock_of(target))
    if target.exists() and any(path.exists() for path in left):
        with contextlib.suppress(StorageError), locked(target):
            for path in left[:2]:
                shutil.rmtree(path, ignore_errors=True)


def sealed(folder: Path) -> None:
    """Write the hash of every file of a folder beside them, below a line that is the hash of those lines."""
    lines = [f"{hash_of(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.is_file()]
    (folder / SEAL).write_text(signed("".join(lines)), encoding="utf-8")


def signed(lines: str) -> str:
    """Lines of a SHA256SUMS below their own hash, as a remark that `sha256sum -c` passes over."""
    return f"# {hashlib.sha256(lines.encode('utf-8', 'surrogateescape')).hexdigest()}\n{lines}"


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _predecessor(target: Path) -> Path:
    return target.parent / f".{target.name}.before"


def _lock_of(target: Path) -> Path:
    return target.parent / f".{target.name}.lock"


def publish(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, in a folder that is made for it, alone.

    Raises StorageError, also where the path is a device or a link, which a file would replace.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StorageError("exists and is not a regular file, so it is not replaced", where=path)
    with locked(path):
        write_file(path, content)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, where nobody else does. Raises StorageError."""
    aside = path.with_name(f".{path.name}.aside")
    with refusals(path):
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
            _flush(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """To the disk; folders too, where the system lets them be opened."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def refusals(target: Path) -> Iterator[None]:
    """What the disk refuses, as one line about the target."""
    try:
        yield
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        raise StorageError(f"cannot be written: {error.strerror or error}", where=target) from error
