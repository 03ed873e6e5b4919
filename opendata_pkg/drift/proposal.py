"""Branches for folders that a catalogue does not have yet, as YAML that can be pasted into it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.catalogue.branch import NAME_MAX, default_name, path_fault
from opendata_pkg.paths import fold
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opendata_pkg.catalogue.catalogue import Catalogue

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")
_SUFFIX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of the bucket: its path without slashes at its ends, and what stands in it."""

    path: str
    objects: int
    size_bytes: int

    def __str__(self) -> str:
        """`12 objects, 3400 bytes`."""
        return f"{counted(self.objects, 'object')}, {counted(self.size_bytes, 'byte')}"


def propose(folders: Iterable[Folder], catalogue: Catalogue | None = None, *, taken: Iterable[str] = ()) -> str:
    """The folders as entries of `branches:` at the top of a catalogue, each by its whole path, with its figures.

    The text is YAML and begins with `branches:`. What cannot be a branch, or not beside another one, is a comment that
    says why. `catalogue` is what they are to be added to; `taken` are other names that no branch may have.
    """
    branches = {} if catalogue is None else catalogue.branches
    names = {branch.name for branch in branches.values()} | set(taken)
    former = {old for branch in branches.values() for old in branch.formerly}
    ignored = [] if catalogue is None else [entry.prefix for entry in catalogue.ignore]
    spellings = {fold(folder): folder for path in branches if path for folder in _with_parents(path)}
    lines: list[str] = []
    for folder in folders:
        path = folder.path
        fault = path_fault(path)
        clash = next(
            (other for each in _with_parents(path) if (other := spellings.get(fold(each), each)) != each), None
        )
        if fault is None and clash is not None:
            fault = f"{clash} is the same to file systems that ignore case or Unicode form: only one can be a branch"
        if fault is None and path in former:
            fault = "a branch was formerly here: its clones would take this for it"
        if fault is None and any(f"{path}/".startswith(prefix) for prefix in ignored):
            fault = "it is ignored"
        if fault is not None:
            lines.append(f"  # {_key(path)} cannot be added: {fault} ({folder})")
            continue
        spellings |= {fold(each): each for each in _with_parents(path)}
        lines.append(f"  {_key(path)}:  # {folder}")
        name = default_name(path)
        if name in names or not 0 < len(name) <= NAME_MAX:
            # As a default it would be refused: told apart by what cannot collide, and short enough.
            mark = hashlib.sha256(path.encode()).hexdigest()[:_SUFFIX]
            name = f"{name[: NAME_MAX - _SUFFIX - 1]}-{mark}".lstrip("-.")
            lines.append(f"    name: {_scalar(name)}")
        names.add(name)
    is_empty = all(line.startswith("  #") for line in lines)
    return "\n".join(["branches: {}" if is_empty else "branches:", *lines]) + "\n"


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _key(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _scalar(text)


def _scalar(text: str) -> str:
    # YAML's double-quoted scalars take JSON's: so no name can be read as something else.
    return json.dumps(text)
