"""What the words of all verbs mean, with what the environment says where nobody said anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, TypeVar

from opendata_pkg.lock.lock import is_offline
from opendata_pkg.model import UsageError
from opendata_pkg.plan.selection import Rules

Store = str | Path | None
Globs = str | Sequence[str]
"""One glob, or several: a text is a sequence too, whose letters nobody means."""

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
        catalogue=Path(file) if file else None,
        offline=is_offline() if offline is None else offline,
    )


def globs_of(globs: Globs) -> tuple[str, ...]:
    """One glob or several, as a tuple."""
    return (globs,) if isinstance(globs, str) else tuple(globs)


def rules_of(include: Globs, exclude: Globs, larger: int | None, smaller: int | None) -> Rules:
    """The rules that the words of every reading verb mean."""
    return Rules(include=globs_of(include), exclude=globs_of(exclude), larger=larger, smaller=smaller)


def one_of(value: _Word, known: Sequence[_Word], *, name: str) -> _Word:
    """The value, if it is known.

    Raises:
        UsageError: it is not; says which are.
    """
    if value not in known:
        raise UsageError(f"expected {name} to be one of {', '.join(known)}, got {value!r}")
    return value
