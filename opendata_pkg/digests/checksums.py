"""The checksum cache: digests of objects that were read once, so that no run reads them again."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.files import at_home
from opendata_pkg.model import InputError, Md5, Sha256, SourceError, is_real_version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from opendata_pkg.model import S3Object

FILE_NAME = "checksums.sqlite"
_FORMAT = 1
_BUSY_TIMEOUT_S = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS checksums (
    base_url TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    md5 TEXT,
    PRIMARY KEY (base_url, key, state)
) WITHOUT ROWID
"""


class BrokenCacheError(InputError):
    """The cache's file is none of ours, damaged, or of a newer format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """What reading an object found. The MD5 is there if there was one to check."""

    sha256: Sha256
    size_bytes: int
    md5: Md5 | None = None


def cache_folder() -> Path:
    """Where opendata keeps what it can make again: `OPENDATA_CACHE`, else the platform's cache folder."""
    if folder := os.environ.get("OPENDATA_CACHE"):
        return Path(at_home(folder))
    import platformdirs  # noqa: PLC0415 - whoever names the folder needs none

    # The same as `pooch.os_cache`, which takes a quarter of a second to import.
    return Path(platformdirs.user_cache_dir("opendata"))


def object_state(target: S3Object) -> str | None:
    """What ties bytes to a recorded object: its version, else its ETag; None if a listing knows neither."""
    if target.version_id is not None and is_real_version(target.version_id):
        return f"version {target.version_id}"
    return None if target.etag is None else f"etag {target.etag}"


class ChecksumCache:
    """SHA-256 by base URL, key, version or ETag, and size. Safe for several processes; each result is kept at once.

    Objects with neither version nor ETag are not kept: nothing would tell when they change.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, folder: Path | None = None) -> Iterator[ChecksumCache]:
        """The cache in `folder` (by default the one of `cache_folder`), made if there is none.

        Raises:
            BrokenCacheError: there is another file, or a newer format.
            SourceError: it cannot be opened or written.
        """
        import sqlite3  # noqa: PLC0415 - readers only ask for the folder

        folder = cache_folder() if folder is None else folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        with _errors_in_words(path):
            # Each statement is its own transaction: what was put is kept, whatever kills the process afterwards.
            connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        with closing(connection):
            cache = cls(path, connection)
            cache._prepare()
            yield cache

    def get(self, base_url: str, target: S3Object) -> Checksum | None:
        """What reading this object in this state found, if anybody did, and if size and MD5 are as recorded.

        An MD5 that is known now and was not then has never been checked: the object must be read again.
        """
        state = object_state(target)
        if state is None:
            return None
        query = "SELECT sha256, size_bytes, md5 FROM checksums WHERE base_url = ? AND key = ? AND state = ?"
        with _errors_in_words(self.path):
            row = self._connection.execute(query, (base_url, target.key, state)).fetchone()
        if row is None or target.size_bytes not in (None, row[1]) or target.md5 not in (None, row[2]):
            return None
        return Checksum(sha256=Sha256(row[0]), size_bytes=row[1], md5=None if row[2] is None else Md5(row[2]))

    def put(self, base_url: str, target: S3Object, checksum: Checksum) -> None:
        """Keep what reading this object found."""
        state = object_state(target)
        if state is None:
            return
        row = (base_url, target.key, state, checksum.size_bytes, checksum.sha256, checksum.md5)
        with _errors_in_words(self.path):
            self._connection.execute("INSERT OR REPLACE INTO checksums VALUES (?, ?, ?, ?, ?, ?)", row)

    def _prepare(self) -> None:
        with _errors_in_words(self.path):
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found > _FORMAT:
                raise BrokenCacheError(
                    f"{self.path} has format version {found}, but this opendata reads up to {_FORMAT}: "
                    "upgrade it, or name another folder in OPENDATA_CACHE"
                )
            # A write-ahead log lets others read while one writes. Without a sync at each commit a power cut may lose
            # the last results, but never mix them up; the end of a process loses none.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)
            if found != _FORMAT:
                self._connection.execute(f"PRAGMA user_version = {_FORMAT}")


@contextmanager
def _errors_in_words(path: Path) -> Iterator[None]:
    import sqlite3  # noqa: PLC0415 - as above

    try:
        yield
    except sqlite3.OperationalError as error:
        raise SourceError(f"cannot use the checksum cache {path} ({error}): check the disk and permissions") from error
    except sqlite3.DatabaseError as error:
        raise BrokenCacheError(
            f"{path} is no checksum cache or damaged ({error}): delete it, it fills again"
        ) from error
