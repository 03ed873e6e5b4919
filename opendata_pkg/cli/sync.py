"""`opendata sync`: bring exactly the files of a lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import JobsOption, JsonOption, LockOption, OfflineOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.lock.lock import LOCK_NAME
from opendata_pkg.text import counted, human_bytes

if TYPE_CHECKING:
    from opendata_pkg.readers.syncing import SyncResult


def sync(
    *,
    lock: LockOption = Path(LOCK_NAME),
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The folder to fill; by default data, beside the lock.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DIR|URL",
            help="A copy that somebody has, tried before the bucket; checked like all else.",
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Make read-only hard links to the cache's files, which take no room.")
    ] = False,
    jobs: JobsOption = 16,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring exactly the files that the lock names, each checked against its digest.

    Needs only the lock and the bucket. Removes nothing but what it brought for an earlier lock.
    """
    from opendata_pkg.lock.lock import Lock
    from opendata_pkg.readers.syncing import sync as sync_files

    out = Output(json=json, quiet=quiet)
    opened = Lock(lock)
    result = sync_files(
        opened, to=to, from_=from_, link=link, jobs=jobs, offline=offline or opened.offline, reporter=out
    )
    for place in result.left:
        out.message(
            f"left alone: {result.folder / place} is no longer in the lock, but was changed since it was brought"
        )
    out.result(result.to_dict(), _describe(result))
    result.check_complete()


def _describe(result: SyncResult) -> str:
    counts = {
        "there already": result.kept,
        "found there": result.adopted,
        "from the copy": result.from_copy,
        "from the cache": result.from_cache,
        f"downloaded ({human_bytes(result.downloaded_bytes)})": result.downloaded,
        "removed": len(result.removed),
    }
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"{counted(result.files, 'file')} in {result.folder}" + (f": {words}" if words else "")
