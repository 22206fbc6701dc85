"""A digest of values rather than of bytes: what reads the same has the same digest, whatever file it came from."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel

__all__ = ["digest_of", "digest_of_files"]

LENGTH = 16  # hexadecimal digits


def digest_of(*values: object) -> str:
    """16 hexadecimal digits of any values: numbers, texts, arrays, tables, models and data classes of those.

    Every field of a data class counts, so that one added later is not forgotten. Raises TypeError for anything whose
    content is not known, such as a function or a path.
    """
    digest = hashlib.sha256()
    for piece in _pieces(values):
        digest.update(len(piece).to_bytes(8, "little") + piece)  # lengths keep ("ab", "c") from ("a", "bc")
    return digest.hexdigest()[:LENGTH]


def digest_of_files(paths: Sequence[Path]) -> str:
    """16 hexadecimal digits of what stands in these files, in this order."""
    return digest_of([path.read_bytes() for path in paths])


def _pieces(value: object) -> Iterator[bytes]:
    """A value as bytes, kind first. Names of keys and fields are sorted; the order of a sequence counts."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | dt.date):
        yield f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, pd.DataFrame):
        yield from _pieces({str(name): value[name].to_numpy() for name in value.columns})
    elif isinstance(value, BaseModel):
        yield from _pieces({name: getattr(value, name) for name in type(value).model_fields})
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _pieces({field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key in sorted(value, key=repr):
            yield from _pieces(key)
            yield from _pieces(value[key])
    elif isinstance(value, Sequence | Set | np.ndarray):
        yield f"sequence {len(value)}".encode()
        for item in sorted(value, key=repr) if isinstance(value, Set) else value:
            yield from _pieces(item)
    else:
        raise TypeError(f"the content of a {type(value).__name__} is not known")
