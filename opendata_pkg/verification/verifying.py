"""`verify`: the bytes that somebody has, against what is recorded of them.

A lock's folder, a clone, a store, or copies of files that a dataset has: each file against its digest. What is missing,
changed, extra or without a digest is told by name (`opendata_pkg.digests.findings`); nothing is ever written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.cache.synced import read_record
from opendata_pkg.digests.file_digests import DEFAULT_JOBS
from opendata_pkg.lock.lock import DATA_NAME, LOCK_NAME, Lock
from opendata_pkg.model import NotFoundError, UsageError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted
from opendata_pkg.verification.folder import Expected, check_folder, check_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opendata_pkg.cache.synced import Known
    from opendata_pkg.digests.findings import Verification
    from opendata_pkg.plan.selection import Rules, SelectedFile, Selection

# No empty, `.` or `..` component, no NUL: a file below a folder, whatever the folder is.
_PLAIN = re.compile(r"(?:(?!\.{0,2}(?:/|$))[^/\0]+(?:/(?!$)|$))+")
_LOOKED_AT = 1000
"""How many files are looked for to learn which part of the tree somebody has copies of."""


class NothingToVerifyError(NotFoundError):
    """There is nothing here that says what should be in the files."""


def verify(
    folder: Path | None = None,
    *,
    lock: Path | None = None,
    against: str | None = None,
    store: str | None = None,
    rebuild: bool = False,
    rules: Rules | None = None,
    fast: bool = False,
    jobs: int = DEFAULT_JOBS,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> Verification:
    """Check files against what is recorded of them.

    Args:
        folder: a clone, or the folder of files; by default `data`, beside the lock if one counts.
        lock: the lock that says what should be there; by default `opendata.lock` in the current folder.
        against: `[BRANCH][@VERSION][:PATH]`, `s3://bucket/prefix` or a snapshot file: its files instead of a lock's.
        store: with `against`, the store that it is of; else the folder of the store that is checked itself.
        rebuild: build the store's releases again, and compare.
        rules: which files of `against`.
        fast: trust files by the stamps that `sync` keeps, in a clone by their size.
        jobs: how many files are read at a time.
        catalogue: as in `open_target`, for `against`.
        endpoint_url: as in `open_target`, for `against`.
        offline: as in `open_target`, for `against`.
        reporter: takes progress, in bytes.

    Raises:
        UsageError: the arguments do not go together.
        NotFoundError: there is no such folder, lock, store or dataset, or nothing to compare with.
        InputError: the lock or the store is broken.
    """
    _check_usage(folder, lock=lock, against=against, store=store, rebuild=rebuild, rules=rules, fast=fast)
    if against is not None:
        place = folder or Path(DATA_NAME)
        check_there(place)
        # Only here may the network be needed, and all that comes with it.
        from opendata_pkg.targets.opening import open_target  # noqa: PLC0415
        from opendata_pkg.targets.target import EVERYTHING  # noqa: PLC0415

        target = open_target(
            against, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
        )
        selection = target.select(rules or EVERYTHING, reporter=reporter)
        return verify_copies(place, selection, word=against, fast=fast, jobs=jobs, reporter=reporter)
    if store is not None:
        # Building takes libraries that no reader needs.
        from opendata_pkg.verification.rebuild import verify_by_rebuilding  # noqa: PLC0415
        from opendata_pkg.verification.store import verify_store  # noqa: PLC0415

        check = verify_by_rebuilding if rebuild else verify_store
        return check(Path(store), jobs=jobs, reporter=reporter)
    clone = folder or Path()
    if lock is None and (clone / ".git").exists() and (folder is not None or not Path(LOCK_NAME).exists()):
        # What runs git is needed for nothing else here.
        from opendata_pkg.verification.clone import is_clone, verify_clone  # noqa: PLC0415

        if is_clone(clone):
            return verify_clone(clone, fast=fast, jobs=jobs, reporter=reporter)
    if lock is None and not Path(LOCK_NAME).exists():
        raise NothingToVerifyError(
            f"nothing says what should be in {folder or 'the files here'}: there is no {LOCK_NAME}, and it is no "
            "clone; name a lock with --lock, a dataset with --against, or a store with --store"
        )
    return verify_lock(Lock(lock or LOCK_NAME), folder, fast=fast, jobs=jobs, reporter=reporter)


def _check_usage(
    folder: Path | None,
    *,
    lock: Path | None,
    against: str | None,
    store: str | None,
    rebuild: bool,
    rules: Rules | None,
    fast: bool,
) -> None:
    if lock is not None and (against is not None or store is not None):
        raise UsageError("expected one of --lock, --against and --store: a lock needs no other to be verified with")
    if against is None and rules is not None:
        raise UsageError("--include, --exclude, --larger and --smaller choose files of --against: name a dataset there")
    if store is not None and against is None:
        if folder is not None or fast:
            raise UsageError(
                "--store alone verifies the store itself: leave out DIR and --fast, or name a dataset with --against"
            )
        if "://" in store:
            raise UsageError(
                f"expected the folder of a store, got {store}: all of it is read, so verify a copy of it on this "
                "machine, as wget --mirror, rsync or aws s3 sync make one; files from it are verified with "
                "--against DATASET"
            )
    if rebuild and (store is None or against is not None):
        raise UsageError("--rebuild builds the releases of a store again: name it with --store, without --against")
    if folder is not None and folder.is_file():
        raise UsageError(f"expected a folder, got the file {folder}: if it is a lock, name it with --lock")


def verify_lock(
    lock: Lock, folder: Path | None = None, *, fast: bool = False, jobs: int = DEFAULT_JOBS, reporter: Reporter = SILENT
) -> Verification:
    """Check that the files of a lock are in `folder` (by default `data` beside the lock) as they were pinned.

    Raises:
        NoFolderError: there is no such folder.
    """
    place = lock.data if folder is None else folder
    expected = (
        Expected(path=where, size_bytes=file.size_bytes, digest=file.digest)
        for file, where in zip(lock.files, lock.content.places, strict=True)
    )
    return _verify_folder(place, expected, str(lock.path), fast=fast, jobs=jobs, reporter=reporter)


def verify_copies(
    folder: Path,
    selection: Selection,
    *,
    word: str | None = None,
    fast: bool = False,
    jobs: int = DEFAULT_JOBS,
    reporter: Reporter = SILENT,
) -> Verification:
    """Check copies that somebody has of a selection's files: by their paths, and what is not there by digest.

    Paths are relative to the selection's branch, or to the folder above or below it by which more of the files are
    found. `word` is how a person names the selection.

    Raises:
        NoFolderError: there is no such folder.
    """
    base = _base(folder, selection)
    expected = (
        Expected(
            path=file.path.removeprefix(base),
            size_bytes=file.size_bytes,
            digest=file.digest,
            other_names=_other_names(file, base),
        )
        for file in selection.files()
    )
    against = word or selection.origin.source
    return _verify_folder(folder, expected, against, by_digest=True, fast=fast, jobs=jobs, reporter=reporter)


def _base(folder: Path, selection: Selection) -> str:
    """The part of the tree's paths that the copies' paths lack: the branch's, or whichever more files are found by."""
    # Catalogues are of no use to who verifies a lock.
    from opendata_pkg.catalogue.branch import ROOT  # noqa: PLC0415

    paths: list[str] = selection.table["path"].to_pylist()
    branch = "" if selection.origin.branch == ROOT else f"{selection.origin.branch}/"
    # Sorted paths: what the first and the last have in common, all have.
    common = os.path.commonpath([path.rpartition("/")[0] for path in (paths[0], paths[-1])])
    parts = common.split("/") if common else []
    bases = dict.fromkeys([branch, "", *("".join(f"{part}/" for part in parts[: n + 1]) for n in range(len(parts)))])
    some = paths[:_LOOKED_AT]
    return max(bases, key=lambda base: sum(os.path.lexists(folder / path.removeprefix(base)) for path in some))


def _other_names(file: SelectedFile, base: str) -> tuple[str, ...]:
    """Names that a copy may have beside its path below `base`: the whole path, and as the bucket has both."""
    # A key that is no ordinary path names no file.
    keys = (file.key.removeprefix(base), file.key) if _PLAIN.fullmatch(file.key) else ()
    path = file.path.removeprefix(base)
    return tuple(dict.fromkeys(name for name in (file.path, *keys) if name != path))


def _verify_folder(
    folder: Path,
    expected: Iterable[Expected],
    against: str,
    *,
    by_digest: bool = False,
    fast: bool,
    jobs: int,
    reporter: Reporter,
) -> Verification:
    known: Mapping[str, Known] = read_record(folder).known if fast else {}
    tally, trusted = check_folder(folder, expected, by_digest=by_digest, known=known, jobs=jobs, reporter=reporter)
    notes = []
    if fast and known:
        notes.append(f"--fast: {counted(trusted, 'file')} not read: by the stamps, nobody has written there since sync")
    elif fast:
        notes.append(f"--fast: {folder} has no record of a sync to trust, so every file was read")
    return tally.result(target=str(folder), against=against, notes=notes)
