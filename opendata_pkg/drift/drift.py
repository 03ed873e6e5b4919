"""`drift`: what a bucket has and its catalogue does not, and the reverse. Pure.

A folder is new if no declared branch holds it but one that has branches below: files below a leaf of the tree belong to
it, whatever their folders, and so do files directly in a branch's own folder.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from opendata_pkg.drift.proposal import Folder, propose
from opendata_pkg.paths import fold
from opendata_pkg.plan.plan import make_plans, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.plan import Plan
    from opendata_pkg.snapshot.snapshot import Snapshot

_LIKENESS = 0.85
_SEPARATORS = re.compile(r"[ _.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPrefix:
    """A folder of the bucket that is no branch, in the branch that its objects belong to instead."""

    prefix: str
    branch: str
    objects: int
    size_bytes: int
    unknown_sizes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyBranch:
    """A branch without objects, as are the `branches_below` it; its parent has some, or is the root."""

    path: str
    branches_below: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A new prefix that is spelled like a folder of the catalogue, or like another new one; `why` says how alike."""

    prefix: str
    like: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How a snapshot and a catalogue differ. Prefixes end in a slash, paths of branches do not.

    `not_judged` counts the branches outside what the snapshot covers: nobody knows whether they are empty.
    """

    new: tuple[NewPrefix, ...]
    empty: tuple[EmptyBranch, ...]
    near_misses: tuple[NearMiss, ...]
    not_judged: int

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.new or self.empty)


def find_drift(snapshot: Snapshot, catalogue: Catalogue) -> Drift:
    """Compare a snapshot with a catalogue."""
    plans = make_plans(snapshot, catalogue)
    folders = _declared_folders(catalogue)
    new = [found for plan in plans.by_branch.values() if plan.branch.children for found in _new(plan, folders)]
    new.sort(key=lambda found: found.prefix.encode())
    present = {path for path, plan in plans.by_branch.items() if plan.subtree}
    covered = [path for path in catalogue.branches if _covers(snapshot, path)]
    absent = {path for path in covered if path and path not in present}
    empty = [
        EmptyBranch(path=path, branches_below=sum(1 for _ in catalogue.walk(path)) - 1)
        for path in covered
        # A branch below an absent one is told of with it.
        if path in absent and catalogue.branches[path].parent not in absent
    ]
    return Drift(
        new=tuple(new),
        empty=tuple(empty),
        near_misses=tuple(_near_misses([found.prefix for found in new], folders)),
        not_judged=len(catalogue.branches) - len(covered),
    )


def propose_branches(drift: Drift, catalogue: Catalogue) -> str:
    """Entries of `branches:` for the new prefixes, as YAML; pasted into the catalogue's own, it can be read again."""
    folders = (
        Folder(path=found.prefix.removesuffix("/"), objects=found.objects, size_bytes=found.size_bytes)
        for found in drift.new
    )
    return propose(folders, catalogue)


def _declared_folders(catalogue: Catalogue) -> dict[str, set[str]]:
    """The folders that are branches or on the way to one: names by the path of the folder that they are in."""
    folders: dict[str, set[str]] = {}
    for path in catalogue.branches:
        parts = path.split("/") if path else []
        for count, name in enumerate(parts):
            folders.setdefault("/".join(parts[:count]), set()).add(name)
    return folders


def _new(plan: Plan, folders: Mapping[str, set[str]]) -> Iterator[NewPrefix]:
    """The first folders below a branch that lead to no declared one; sorted rows of one folder stand together."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for start, stop in plan.own:
        row = start
        while row < stop:
            prefix = _first_undeclared(plan.snapshot.table["key"][row].as_py(), plan.branch.path, folders)
            end = row + 1 if prefix is None else min(stop, plan.snapshot.prefix_range(prefix)[1])
            if prefix is not None:
                # In several ranges, if something in it is left out.
                ranges.setdefault(prefix, []).append((row, end))
            row = end
    for prefix, found in ranges.items():
        sizes = rows_of(plan.snapshot.table, tuple(found))["size"]
        yield NewPrefix(
            prefix=prefix,
            branch=plan.branch.path,
            objects=len(sizes),
            size_bytes=int(pc.sum(sizes).as_py() or 0),
            unknown_sizes=sizes.null_count,
        )


def _first_undeclared(key: str, branch: str, folders: Mapping[str, set[str]]) -> str | None:
    """The shortest folder of a key, ending in a slash, that no branch is at or below; None: it is in declared ones."""
    folder = branch
    for name in key.removeprefix(f"{branch}/" if branch else "").split("/")[:-1]:
        inside = f"{folder}/{name}" if folder else name
        if name not in folders.get(folder, ()):
            return f"{inside}/"
        folder = inside
    return None


def _covers(snapshot: Snapshot, path: str) -> bool:
    prefixes = snapshot.header.prefixes
    return not prefixes or any(f"{path}/".startswith(prefix) for prefix in prefixes)


def _near_misses(prefixes: Iterable[str], folders: Mapping[str, set[str]]) -> Iterator[NearMiss]:
    seen: dict[str, list[str]] = {}
    for prefix in prefixes:
        parent, _, name = prefix.removesuffix("/").rpartition("/")
        known = sorted(folders.get(parent, ())) + seen.setdefault(parent, [])
        alike = [(why, other) for other in known if (why := _likeness(name, other)) is not None]
        if alike:
            why, other = min(alike, key=lambda found: (_REASONS.index(found[0]), found[1]))
            yield NearMiss(prefix=prefix, like=f"{parent}/{other}/" if parent else f"{other}/", why=why)
        seen[parent].append(name)


_REASONS = ("differs in case or Unicode form only", "differs in separators only", "is spelled alike")


def _likeness(name: str, other: str) -> str | None:
    """How alike two names of folders are; None if they are not. Names that differ by their digits are meant to."""
    ours, theirs = fold(name), fold(other)
    if ours == theirs:
        return _REASONS[0]
    if _SEPARATORS.sub("", ours) == _SEPARATORS.sub("", theirs):
        return _REASONS[1]
    if re.sub(r"[0-9]+", "0", ours) == re.sub(r"[0-9]+", "0", theirs):
        return None
    return _REASONS[2] if difflib.SequenceMatcher(None, ours, theirs).ratio() >= _LIKENESS else None
