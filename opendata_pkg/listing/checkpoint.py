"""What an interrupted listing has found so far, in a file: the next one goes on from there.

Every page is kept as soon as it is read, with how to ask for the one after it. So the end of a process at any moment,
however sudden, loses the pages under way, and nothing is found twice: pages count by prefix and number.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from opendata_pkg.listing.versions import ENTRY_SCHEMA
from opendata_pkg.model import InputError, SourceError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot_header import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMAT = 1
_STALE_AFTER = timedelta(hours=24)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    prefix TEXT NOT NULL,
    delimiter TEXT NOT NULL,
    number INTEGER NOT NULL,
    entries BLOB NOT NULL,
    folders TEXT NOT NULL,
    following TEXT NOT NULL,
    PRIMARY KEY (prefix, delimiter, number)
);
CREATE TABLE IF NOT EXISTS listing (options TEXT NOT NULL, started TEXT NOT NULL);
"""


class OtherListingError(InputError):
    """A checkpoint is there, of a listing with other options."""


class BrokenCheckpointError(InputError):
    """A checkpoint's file is none of ours, or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPage:
    """A page's entries in the columns of `ENTRY_SCHEMA`; the rest as in `Page`."""

    table: pa.Table
    folders: tuple[str, ...]
    following: dict[str, str] | None


class Keeper(Protocol):
    """Where pages are kept while a listing is under way. Called from any thread."""

    def kept(self, prefix: str, delimiter: str) -> Iterator[KeptPage]:
        """The pages of a prefix that were read before, from the first one on."""

    def how_far(self, prefix: str) -> tuple[int, dict[str, str] | None]:
        """How many pages of a prefix, without a delimiter, are kept, and how to ask for the one after them."""

    def keep(self, prefix: str, delimiter: str, number: int, page: KeptPage) -> None:
        """Keep a page, which is the `number`-th of its prefix."""

    def forget(self, prefix: str) -> None:
        """Drop the pages of a prefix, without a delimiter."""


class NoKeeper:
    """Keeps nothing."""

    def kept(self, prefix: str, delimiter: str) -> Iterator[KeptPage]:  # noqa: ARG002
        """None."""
        return iter(())

    def how_far(self, prefix: str) -> tuple[int, dict[str, str] | None]:  # noqa: ARG002
        """No page."""
        return 0, None

    def keep(self, prefix: str, delimiter: str, number: int, page: KeptPage) -> None:
        """Do nothing."""

    def forget(self, prefix: str) -> None:
        """Do nothing."""


class Checkpoint:
    """Pages in a file of their own, which is there only while a listing is under way or was interrupted."""

    def __init__(self, path: Path, connection: sqlite3.Connection, started: datetime) -> None:
        self.path, self.started = path, started
        self._connection, self._lock = connection, threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, path: Path, options: dict[str, Any], *, reporter: Reporter = SILENT) -> Iterator[Checkpoint]:
        """Go on with the listing in `path`, or begin one there. `options` are all that decides what it finds.

        Raises:
            OtherListingError: the file is of a listing with other options.
            BrokenCheckpointError: the file is none of ours, or damaged.
            SourceError: another process is at it, or the disk refuses.
        """
        with _errors_in_words(path):
            # Any thread may write, one at a time; each statement is its own transaction.
            connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        with closing(connection):
            with _errors_in_words(path):
                # Nobody else may list to this file meanwhile; the lock ends with the process, whatever ends it.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                started = _begin(path, connection, options, reporter)
            yield cls(path, connection, started)

    def kept(self, prefix: str, delimiter: str) -> Iterator[KeptPage]:
        """The pages of a prefix that were read before, from the first one on; one in memory at a time."""
        query = "SELECT entries, folders, following FROM pages WHERE prefix = ? AND delimiter = ? AND number = ?"
        for number in count():
            with _errors_in_words(self.path):
                with self._lock:
                    row = self._connection.execute(query, (prefix, delimiter, number)).fetchone()
                if row is None:
                    return
                entries, folders, following = row
                table = pa.ipc.open_stream(entries).read_all()
            yield KeptPage(table=table, folders=tuple(json.loads(folders)), following=json.loads(following))

    def how_far(self, prefix: str) -> tuple[int, dict[str, str] | None]:
        """How many pages of a prefix, without a delimiter, are kept, and how to ask for the one after them."""
        query = "SELECT number, following FROM pages WHERE prefix = ? AND delimiter = '' ORDER BY number DESC LIMIT 1"
        with _errors_in_words(self.path), self._lock:
            row = self._connection.execute(query, (prefix,)).fetchone()
        return (0, None) if row is None else (row[0] + 1, json.loads(row[1]))

    def keep(self, prefix: str, delimiter: str, number: int, page: KeptPage) -> None:
        """Keep a page, which is the `number`-th of its prefix."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, ENTRY_SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(page.table)
        entries = sink.getvalue().to_pybytes()
        row = (prefix, delimiter, number, entries, json.dumps(page.folders), json.dumps(page.following))
        with _errors_in_words(self.path), self._lock:
            self._connection.execute("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", row)

    def forget(self, prefix: str) -> None:
        """Drop the pages of a prefix, without a delimiter."""
        with _errors_in_words(self.path), self._lock:
            self._connection.execute("DELETE FROM pages WHERE prefix = ? AND delimiter = ''", (prefix,))


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint that is no longer needed, if there is one."""
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _begin(path: Path, connection: sqlite3.Connection, options: dict[str, Any], reporter: Reporter) -> datetime:
    if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, _FORMAT):
        raise BrokenCheckpointError(f"{path} is of another version of opendata: delete it to begin the scan anew")
    connection.executescript(_SCHEMA)
    row = connection.execute("SELECT options, started FROM listing").fetchone()
    if row is None:
        started = datetime.now(UTC)
        words = json.dumps(options, sort_keys=True)
        connection.execute("INSERT INTO listing VALUES (?, ?)", (words, format_time(started)))
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        return started
    known = json.loads(row[0])
    if differ := [name for name in {**known, **options} if known.get(name) != options.get(name)]:
        was = ", ".join(f"{name} {known.get(name)!r} (now {options.get(name)!r})" for name in sorted(differ))
        raise OtherListingError(
            f"{path} is of an interrupted scan with other options: {was}. Repeat that command to finish it, "
            "write to another --out, or delete the file to begin anew"
        )
    started = parse_time(row[1])
    pages = connection.execute("SELECT count(*) FROM pages").fetchone()[0]
    reporter.message(f"going on with the scan of {row[1]}, of which {pages:,} pages are in {path}")
    if datetime.now(UTC) - started > _STALE_AFTER:
        hours = (datetime.now(UTC) - started) // timedelta(hours=1)
        reporter.message(
            f"that was {hours} hours ago: what was written since to the part that is listed will be missing; "
            f"delete {path} to begin anew"
        )
    return started


@contextmanager
def _errors_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise SourceError(f"another scan is writing {path}: wait for it, or name another --out") from error
        raise SourceError(f"cannot write {path} ({error}): check the disk and permissions") from error
    except (sqlite3.DatabaseError, pa.ArrowInvalid) as error:
        raise BrokenCheckpointError(
            f"{path} is no checkpoint of a scan, or damaged ({error}): delete it to begin anew"
        ) from error
