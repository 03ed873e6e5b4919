"""Fill in the digests that a selection lacks, by fetching its files into the cache."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from opendata_pkg.cache.cache import CacheItem, FileCache
from opendata_pkg.cache.wanted import Failure, Wanted
from opendata_pkg.model import InputError, OpenDataError
from opendata_pkg.plan.selection import FILES
from opendata_pkg.text import counted
from opendata_pkg.web.transport import Transport

if TYPE_CHECKING:
    from opendata_pkg.plan.selection import SelectedFile, Selection
    from opendata_pkg.progress import Reporter

_SHOWN_MAX = 5


class NoAddressError(InputError):
    """Files cannot be had from anywhere."""


class UnreadableFilesError(OpenDataError):
    """Files without a digest could not be fetched to be hashed; the exit status is the highest of their errors'."""

    def __init__(self, failed: list[Failure], wanted: int) -> None:
        self.exit_status = max(failure.error.exit_status for failure in failed)
        shown = "".join(f"\n  {failure.error}" for failure in failed[:_SHOWN_MAX])
        more = f"\n  and {len(failed) - _SHOWN_MAX} more" if len(failed) > _SHOWN_MAX else ""
        super().__init__(
            f"{len(failed):,} of {counted(wanted, 'file')} without a digest could not be read; "
            f"leave them out with --exclude, or run the same command again:{shown}{more}"
        )


def hash_missing(selection: Selection, *, offline: bool, jobs: int, reporter: Reporter) -> tuple[Selection, int, int]:
    """The selection with every digest filled in, how many files were hashed for it, and their bytes.

    Raises:
        NoAddressError: a file has no URL.
        UnreadableFilesError: a file cannot be had.
    """
    missing = {index: file for index, file in enumerate(selection.files()) if file.digest is None or file.url is None}
    nowhere = [file.path for file in missing.values() if file.url is None]
    if nowhere:
        raise NoAddressError(
            f"no URL that a lock could name is known of {counted(len(nowhere), 'file')}, {nowhere[0]!r} the first: "
            "scan the folder or listing again with --base-url"
        )
    if not missing:
        return selection, 0, 0
    known_bytes = sum(file.size_bytes or 0 for file in missing.values())
    reporter.message(
        f"without a digest: {counted(len(missing), 'file')}, {counted(known_bytes, 'byte')}, now fetched and hashed"
    )
    indices = {file.path: index for index, file in missing.items()}
    sizes, digests = selection.table["size"].to_pylist(), selection.table["sha256"].to_pylist()
    failed, hashed_bytes = [], 0
    with Transport.create(connections=jobs, offline=offline) as transport:
        items = (_item(selection.origin.snapshot, file) for file in missing.values())
        for outcome in FileCache.open().bring(items, transport=transport, jobs=jobs, reporter=reporter):
            if isinstance(outcome, Failure):
                failed.append(outcome)
                continue
            index = indices[outcome.wanted.name]
            sizes[index], digests[index] = outcome.size_bytes, outcome.sha256
            hashed_bytes += outcome.size_bytes
    if failed:
        raise UnreadableFilesError(failed, len(missing))
    table = selection.table
    for name, values in (("size", sizes), ("sha256", digests)):
        index = FILES.names.index(name)
        table = table.set_column(index, FILES.field(index), pa.array(values, FILES.field(index).type))
    return replace(selection, table=table), len(missing), hashed_bytes


def _item(snapshot: str, file: SelectedFile) -> CacheItem:
    assert file.url is not None  # noqa: S101 - who calls this has looked
    wanted = Wanted(name=file.path, urls=(file.url,), size_bytes=file.size_bytes, etag=file.etag)
    return CacheItem(snapshot=snapshot, path=file.path, wanted=wanted)
