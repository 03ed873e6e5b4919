"""Shards of an inventory that are as the last release has them: its files are used again, and not made anew."""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left
from typing import TYPE_CHECKING

from opendata_pkg.descriptor import ShardInfo, shard_info
from opendata_pkg.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from opendata_pkg.inventory import Shard


class KeptShards:
    """The shards in the folder of a release of a dataset, of which some paths have been touched since.

    The last release binds them by the digest of its descriptor, which has theirs. One that is gone or altered is not
    used, so that the next release is whole again.
    """

    def __init__(self, artefacts: Path, descriptor: str | None, touched: Iterable[str]) -> None:
        """Take the folder, the SHA-256 of the `datapackage.json` in it, and the paths of all rows new or gone."""
        self._folder = artefacts
        self._sha256 = _released_shards(artefacts / "datapackage.json", descriptor)
        self._touched = sorted(touched)

    def link(self, shard: Shard, target: Path) -> tuple[ShardInfo, bytes] | None:
        """Put the file of a shard that is as it was at `target`; returns what it is, and its bytes. None: make it."""
        known = self._sha256.get(shard.name)
        if known is None or self._is_touched(shard):
            return None
        source = self._folder / "files" / shard.name
        try:
            data = source.read_bytes()
        except OSError:
            return None
        info = shard_info(shard.name, data, shard.first_path)
        if info.sha256 != known:
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # What is published never changes: one file may stand in many releases.
            os.link(source, target)
        except OSError:
            write_bytes(target, data, sync=False)
        return info, data

    def _is_touched(self, shard: Shard) -> bool:
        # Also by a row that is new just behind it: it may be the one that ends it now.
        first = bisect_left(self._touched, shard.start)
        return first < len(self._touched) and (shard.stop is None or self._touched[first] <= shard.stop)


def _released_shards(file: Path, sha256: str | None) -> dict[str, str]:
    """File name → SHA-256 of every shard, as a released descriptor has them; none if it is not the one released."""
    try:
        data = file.read_bytes()
    except OSError:
        return {}
    if hashlib.sha256(data).hexdigest() != sha256:
        return {}
    return {
        resource["path"].removeprefix("files/"): resource["hash"].removeprefix("sha256:")
        for resource in json.loads(data)["resources"]
        if resource["path"].startswith("files/")
    }
