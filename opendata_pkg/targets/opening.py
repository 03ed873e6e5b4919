"""What a word means that a person names to read from: a dataset of a store, a bucket, or a snapshot's file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.files import at_home
from opendata_pkg.model import UsageError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.targets.words import is_bucket, is_snapshot

if TYPE_CHECKING:
    from opendata_pkg.targets.target import Target


def open_target(
    word: str,
    *,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> Target:
    """What a word means: `[BRANCH][@VERSION][:PATH]` of a store, `s3://bucket/prefix`, or a snapshot's `.parquet` file.

    With a colon, it is a file or folder of a dataset whatever it ends in, unless it begins as a path does (`./`).
    `catalogue` (by default the shipped one) names the store, if `store` does not; and says what a bucket's objects are.

    Raises:
        NotFoundError: there is no such store, version, branch, bucket or file.
        InputError: it is broken, or of a newer format.
        SourceError: a server refused or did not answer; or `offline`, and it is not in the cache.
        UsageError: the word is none, or no store is named anywhere.
    """
    # Each kind has its own imports: a store's reader needs no Parquet, a snapshot's no store.
    word = at_home(word)
    if is_bucket(word):
        from opendata_pkg.targets.snapshot import open_bucket  # noqa: PLC0415

        return open_bucket(word, catalogue, endpoint_url, offline=offline, reporter=reporter)
    if is_snapshot(word):
        from opendata_pkg.targets.snapshot import open_snapshot  # noqa: PLC0415

        return open_snapshot(word, catalogue)
    from opendata_pkg.store.lookup import parse_dataset  # noqa: PLC0415
    from opendata_pkg.store.published import store_of  # noqa: PLC0415
    from opendata_pkg.targets.store import open_dataset  # noqa: PLC0415

    snapshot, _, path = word.partition(".parquet:")
    if path and Path(f"{snapshot}.parquet").is_file():
        raise UsageError(
            f"expected a snapshot alone, got {word}: choose its files by globs: {snapshot}.parquet "
            f"--include {shlex.quote(f'/{path}')}"
        )
    # What is no word of a store is told before that no store is named.
    parse_dataset(word)
    return open_dataset(word, store_of(store, catalogue), endpoint_url=endpoint_url, offline=offline)
