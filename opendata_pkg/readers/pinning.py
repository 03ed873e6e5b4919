"""`pin` and `unpin`: write what a paper uses into `opendata.lock`, so that anybody can have the same bytes later."""

from __future__ import annotations

import fcntl
import os
import re
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.citation import citation_text, reference_of
from opendata_pkg.comparison.differences import Diff, Side, diff_tables
from opendata_pkg.comparison.sides import locked_table
from opendata_pkg.files import write_text
from opendata_pkg.lock.format import LockContent, LockedFile, LockSelection, find_clash, parse_lock
from opendata_pkg.lock.lock import LOCK_NAME, Lock
from opendata_pkg.model import Grade, InputError, NotFoundError, UsageError, is_real_version
from opendata_pkg.plan.selection import Rules
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.readers.filling import hash_missing
from opendata_pkg.targets.opening import open_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from opendata_pkg.catalogue.branch import License
    from opendata_pkg.plan.selection import SelectedFile, Selection

_NAME_MAX = 100
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
EVERYTHING = Rules()
NOTHING = LockContent(selections={}, files=())


class PinnedAlreadyError(InputError):
    """A lock has a selection of that name, with other files."""


class NoSelectionError(NotFoundError):
    """A lock has no selection of that name."""


class NoRoomError(InputError):
    """Files cannot be put beside those that the lock has already."""


def refuse(name: str, _change: Diff) -> bool:
    """What answers when nobody was there to be asked."""
    raise UsageError(
        f"selection {name} would change: look at the changes above and say --yes, or run this in a terminal"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PinResult:
    """What was pinned. `hashed` files had no digest and were fetched; `change` is what became of an earlier pin.

    `written` is False if the lock said the same already, or somebody declined the change.
    """

    lock: Path
    selection: LockSelection
    files: int
    size_bytes: int
    grades: Mapping[Grade, int]
    only_md5: int
    hashed: int
    hashed_bytes: int
    change: Diff | None
    written: bool

    @property
    def overwritable(self) -> int:
        """How many files the bucket can lose: a change would be noticed, but the bytes would be gone."""
        return self.grades[Grade.VERIFIABLE]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "lock": str(self.lock),
            "selection": self.selection.name,
            **self.selection.to_dict(),
            "files": self.files,
            "bytes": self.size_bytes,
            "grades": {grade.value: count for grade, count in self.grades.items()},
            "only_md5": self.only_md5,
            "hashed": self.hashed,
            "hashed_bytes": self.hashed_bytes,
            "change": None if self.change is None else self.change.to_dict(),
            "written": self.written,
        }


def pin(
    word: str,
    *,
    lock: Path = Path(LOCK_NAME),
    rules: Rules = EVERYTHING,
    name: str | None = None,
    update: bool = False,
    confirm: Callable[[str, Diff], bool] = refuse,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    jobs: int = 16,
    reporter: Reporter = SILENT,
) -> PinResult:
    """Write exact files into a lock. Those without a digest are fetched into the cache and hashed.

    Args:
        word: what `open_target` takes: a dataset of a store, `s3://bucket/prefix`, or a snapshot's file.
        lock: the lock; made if it is not there.
        rules: which files of it.
        name: the selection's name in the lock; by default the last folder of what is pinned.
        update: replace the selection of that name, if `confirm(name, change)` says so.
        confirm: asked only if something changes; by default it refuses.
        store: as `open_target` says.
        catalogue: as `open_target` says.
        endpoint_url: as `open_target` says.
        offline: use only what was read before.
        jobs: how many transfers at a time.
        reporter: what is told.

    Raises:
        PinnedAlreadyError: the lock has another selection of that name, and this is no update.
        UnreadableFilesError: a file without a digest cannot be had.
        NoAddressError: a file has no URL.
        NoRoomError: a file of the lock stands where a folder must be, or the reverse.
        NotFoundError, InputError, SourceError, UsageError: as `open_target` and `Target.select` say.
    """
    target = open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )
    selection = target.select(rules, reporter=reporter)
    called = default_name(selection) if name is None else check_name(name)
    # Looked at before anything is fetched, and again under the lock on the lock.
    _check_free(_read(lock), called, selection, update=update)
    selection, hashed, hashed_bytes = hash_missing(selection, offline=offline, jobs=jobs, reporter=reporter)
    rows = tuple(_locked(called, file) for file in selection.files())
    entry = _entry(called, selection)
    with _alone(lock.parent):
        before = _read(lock)
        _check_free(before, called, selection, update=update)
        content = _merged(before, entry, rows)
        change = _change(before, content, called)
        written = content != before and (change is None or not len(change) or confirm(called, change))
        if written:
            _write(lock, content)
    grades = Counter(row.grade for row in rows)
    return PinResult(
        lock=lock,
        selection=content.selections[called],
        files=len(rows),
        size_bytes=selection.size_bytes,
        grades={grade: grades[grade] for grade in (Grade.FIXED, Grade.VERIFIABLE)},
        only_md5=sum(1 for row in rows if row.sha256 is None),
        hashed=hashed,
        hashed_bytes=hashed_bytes,
        change=change,
        written=written,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpinResult:
    """What was taken out of a lock, and how many files are left in it."""

    lock: Path
    selection: str
    files: int
    left: int

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"lock": str(self.lock), "selection": self.selection, "files": self.files, "left": self.left}


def unpin(name: str, *, lock: Path = Path(LOCK_NAME)) -> UnpinResult:
    """Take a selection out of a lock.

    Raises:
        NoLockError: there is no lock.
        NoSelectionError: it has no selection of that name.
    """
    with _alone(lock.parent):
        before = Lock(lock).content
        if name not in before.selections:
            known = ", ".join(before.selections) or "none at all"
            raise NoSelectionError(f"no selection {name!r} in {lock}: it has {known}")
        content = _without(before, name)
        _write(lock, content)
    left = len(content.files)
    return UnpinResult(lock=lock, selection=name, files=len(before.files) - left, left=left)


def check_name(name: str) -> str:
    """The name of a selection as it was given.

    Raises:
        UsageError: it is none.
    """
    if _NO_NAME.search(name) or not name[:1].isalnum() or len(name) > _NAME_MAX:
        raise UsageError(
            f"expected a name of letters, digits, `.`, `_` and `-` that begins with a letter or digit, got {name!r}"
        )
    return name


def default_name(selection: Selection) -> str:
    """What a selection is called if nobody says: by the last folder of its branch or prefix, or by its file."""
    origin = selection.origin
    if origin.branch != ROOT:
        word = origin.branch.rsplit("/", 1)[-1]
    elif origin.version is not None and selection.catalogue is not None:
        word = selection.catalogue.id
    else:
        word = origin.source.rstrip("/").rsplit("/", 1)[-1].removesuffix(".parquet")
    return _NO_NAME.sub("-", word).lstrip("._-")[:_NAME_MAX] or "selection"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else changes a lock in that folder. Nothing is left there, and readers do not wait."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A file system that knows no locks does without.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(lock: Path) -> LockContent:
    return Lock(lock).content if lock.exists() else NOTHING


def _write(lock: Path, content: LockContent) -> None:
    text = content.dump()
    # What is not read back must not be written.
    parse_lock(text.encode(), str(lock))
    write_text(lock, text)


def _without(content: LockContent, name: str) -> LockContent:
    others = {other: entry for other, entry in content.selections.items() if other != name}
    return LockContent(selections=others, files=tuple(file for file in content.files if file.selection != name))


def _check_free(content: LockContent, name: str, selection: Selection, *, update: bool) -> None:
    """Refuse to overwrite a selection that somebody relies on."""
    known = content.selections.get(name)
    if known is None or update:
        return
    origin = selection.origin
    asked = (origin.branch, selection.rules.to_dict())
    if asked != (known.branch, dict(known.rules)) or (known.version is None and origin.source != known.source):
        raise PinnedAlreadyError(
            f"selection {name} is {_words(known.branch, known.version, known.source, known.rules)}, and "
            f"{_words(origin.branch, origin.version, origin.source, selection.rules.to_dict())} was asked for: give it "
            "another name with --as NAME, or replace the selection with --update"
        )
    if (origin.version, origin.snapshot) != (known.version, known.snapshot):
        raise PinnedAlreadyError(
            f"selection {name} is pinned at {_state(known.version, known.snapshot)}, and "
            f"{_state(origin.version, origin.snapshot)} was asked for: move to it with --update, or keep both with "
            "--as NAME"
        )


def _words(branch: str, version: str | None, source: str, rules: Mapping[str, Any]) -> str:
    where = source if version is None else f"{branch}@{version}"
    lists = {name: value if isinstance(value, list) else [value] for name, value in rules.items() if name != "path"}
    given = "".join(f" --{name} {value}" for name, values in lists.items() for value in values)
    return f"{where}:{rules['path']}{given}" if "path" in rules else f"{where}{given}"


def _state(version: str | None, snapshot: str) -> str:
    return f"snapshot {snapshot[:12]}" if version is None else f"version {version}"


def _locked(name: str, file: SelectedFile) -> LockedFile:
    assert file.url is not None  # noqa: S101 - `hash_missing` has looked
    real = is_real_version(file.version_id)
    # A bucket that is made anew loses its versions; the bytes may be there still, and the digest tells.
    urls = dict.fromkeys((file.url, file.url.partition("?")[0]))
    return LockedFile(
        selection=name,
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        md5=file.md5,
        urls=tuple(urls),
        version_id=file.version_id if real else None,
        grade=Grade.FIXED if real else Grade.VERIFIABLE,
    )


def _entry(name: str, selection: Selection) -> LockSelection:
    origin = selection.origin
    return LockSelection(
        name=name,
        branch=origin.branch,
        version=origin.version,
        rules=selection.rules.to_dict(),
        source=origin.source,
        snapshot=origin.snapshot,
        commit=origin.commit,
        digest=selection.digest,
        licenses=tuple(dict.fromkeys(filter(None, map(_license, selection.licenses())))),
        citation=citation_text(selection),
        reference=reference_of(selection),
    )


def _license(terms: License) -> str | None:
    return terms.name or terms.title or terms.path


def _merged(before: LockContent, entry: LockSelection, rows: tuple[LockedFile, ...]) -> LockContent:
    """A lock with this selection, in a folder of its own only if it cannot be put beside the others.

    A folder that it had already stays, so that paths in scripts stay true.
    """
    others = _without(before, entry.name)
    known = before.selections.get(entry.name)
    folders = dict.fromkeys((None if known is None else known.folder, entry.name))
    clash = ""
    for folder in folders:
        selections = {**others.selections, entry.name: replace(entry, folder=folder)}
        content = LockContent(selections=selections, files=(*others.files, *rows))
        found = find_clash(content)
        if found is None:
            return content
        clash = found[1]
    raise NoRoomError(f"the files of {entry.name} cannot be put beside the others: {clash}; try another --as NAME")


def _change(before: LockContent, after: LockContent, name: str) -> Diff | None:
    """What becomes of the files of a selection that was there before."""
    if name not in before.selections:
        return None
    old, new = before.selections[name], after.selections[name]
    tables = [
        locked_table({file.path: file for file in content.files if file.selection == name}, {name: new.branch})
        for content in (before, after)
    ]
    sides = [_side(entry, table) for entry, table in zip((old, new), tables, strict=True)]
    return Diff(before=sides[0], after=sides[1], table=diff_tables(*tables))


def _side(entry: LockSelection, table: pa.Table) -> Side:
    word = f"{entry.name} at {_state(entry.version, entry.snapshot)}"
    return Side(word=word, files=len(table), size_bytes=pc.sum(table["size"]).as_py() or 0)
