"""What the words of all verbs mean, with what the environment says where nobody said anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, TypeVar, overload

from opendata_pkg.files import at_home
from opendata_pkg.lock.lock import is_offline
from opendata_pkg.model import UsageError
from opendata_pkg.plan.selection import Rules
from opendata_pkg.text import parse_size

Store = str | Path | None
Globs = str | Sequence[str]
"""One glob, or several: a text is a sequence too, whose letters nobody means."""
Size = int | str | None
"""Bytes, or a text such as `1.5MB`; None: any."""

_Word = TypeVar("_Word", bound=str)


class Source(TypedDict):
    """Where to read from, as everything below the verbs takes it."""

    store: str | Path | None
    catalogue: Path | None
    offline: bool


def source_of(store: Store, catalogue: Path | str | None, offline: bool | None) -> Source:  # noqa: FBT001 - a word
    """Where to read from: what was said, else `OPENDATA_STORE`, `OPENDATA_CATALOGUE` and `OPENDATA_OFFLINE`."""
    # Empty is as not set, as on the command line.
    file = catalogue or os.environ.get("OPENDATA_CATALOGUE")
    return Source(
        store=store or os.environ.get("OPENDATA_STORE") or None,
        catalogue=path_of(file or None),
        offline=is_offline() if offline is None else offline,
    )


@overload
def path_of(path: Path | str) -> Path: ...
@overload
def path_of(path: Path | str | None) -> Path | None: ...
def path_of(path: Path | str | None) -> Path | None:
    """A path, or None where none was given; `~/` is the home folder."""
    return None if path is None else Path(at_home(path))


def globs_of(globs: Globs) -> tuple[str, ...]:
    """One glob or several, as a tuple."""
    return (globs,) if isinstance(globs, str) else tuple(globs)


def size_of(size: Size, *, name: str) -> int | None:
    """Bytes, or a size as people write it, such as `1.5MB`.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(size, str):
        return size
    try:
        return parse_size(size)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


def rules_of(include: Globs, exclude: Globs, larger: Size, smaller: Size) -> Rules:
    """The rules that the words of every reading verb mean.

    Raises:
        UsageError: a size is none.
    """
    return Rules(
        include=globs_of(include),
        exclude=globs_of(exclude),
        larger=size_of(larger, name="larger"),
        smaller=size_of(smaller, name="smaller"),
    )


def one_of(value: _Word, known: Sequence[_Word], *, name: str) -> _Word:
    """The value, if it is known.

    Raises:
        UsageError: it is not; says which are.
    """
    if value not in known:
        raise UsageError(f"expected {name} to be one of {', '.join(known)}, got {value!r}")
    return value
