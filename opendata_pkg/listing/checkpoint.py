"""What an interrupted listing has found so far, in a file: the next one goes on from there.

Every page is kept as soon as it is read, with how to ask for the one after it. So the end of a process at any moment,
however sudden, loses the pages under way, and nothing is found twice: pages count by span and number.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from opendata_pkg.listing.spans import Span
from opendata_pkg.listing.versions import ENTRY_SCHEMA
from opendata_pkg.model import InputError, SourceError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.header import format_time, parse_time
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMAT = 2
_STALE_AFTER = timedelta(hours=24)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    prefix TEXT NOT NULL,
    after TEXT NOT NULL,
    number INTEGER NOT NULL,
    entries BLOB NOT NULL,
    following TEXT NOT NULL,
    PRIMARY KEY (prefix, after, number)
);
CREATE TABLE IF NOT EXISTS folders (prefix TEXT PRIMARY KEY, entries BLOB NOT NULL, folders TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS listing (options TEXT NOT NULL, started TEXT NOT NULL);
"""


class OtherListingError(InputError):
    """A checkpoint is there, of a listing with other options."""


class BrokenCheckpointError(InputError):
    """A checkpoint's file is none of ours, or damaged."""


class Keeper(Protocol):
    """Where pages are kept while a listing is under way. Called from any thread.

    Entries are in the columns of `ENTRY_SCHEMA`.
    """

    def kept_folder(self, prefix: str) -> tuple[pa.Table, tuple[str, ...]] | None:
        """A folder's own entries and its folders, if it was listed as such."""

    def kept_spans(self, prefix: str) -> list[Span]:
        """How far a prefix was listed as a whole, in the order of keys."""

    def kept_page(self, span: Span, number: int) -> pa.Table:
        """The entries of the `number`-th page of a kept span."""

    def keep_folder(self, prefix: str, entries: pa.Table, folders: tuple[str, ...]) -> None:
        """Keep what is in a folder."""

    def keep_page(self, span: Span, entries: pa.Table, following: dict[str, str] | None) -> None:
        """Keep the next page of a span, and what asks for the one after it."""


class NoKeeper:
    """Keeps nothing."""

    def kept_folder(self, prefix: str) -> None:
        """None is."""

    def kept_spans(self, prefix: str) -> list[Span]:  # noqa: ARG002
        """None is."""
        return []

    def kept_page(self, span: Span, number: int) -> pa.Table:
        """None can be asked for."""
        raise LookupError(span.after, number)

    def keep_folder(self, prefix: str, entries: pa.Table, folders: tuple[str, ...]) -> None:
        """Do nothing."""

    def keep_page(self, span: Span, entries: pa.Table, following: dict[str, str] | None) -> None:
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
            checkpoint = cls(path, connection, started)
            try:
                yield checkpoint
            finally:
                # Threads of a listing that failed may still have pages to keep: SQLite must not be closed under them.
                with checkpoint._lock:
                    connection.close()

    def kept_folder(self, prefix: str) -> tuple[pa.Table, tuple[str, ...]] | None:
        """A folder's own entries and its folders, if it was listed as such."""
        with _errors_in_words(self.path):
            row = self._row("SELECT entries, folders FROM folders WHERE prefix = ?", prefix)
            return None if row is None else (_unpacked(row[0]), tuple(json.loads(row[1])))

    def kept_spans(self, prefix: str) -> list[Span]:
        """How far a prefix was listed as a whole, in the order of keys."""
        query = "SELECT after, count(*) FROM pages WHERE prefix = ? GROUP BY after"
        with _errors_in_words(self.path), self._lock:
            rows = self._connection.execute(query, (prefix,)).fetchall()
        return [self._span(prefix, after, pages) for after, pages in sorted(rows)]

    def kept_page(self, span: Span, number: int) -> pa.Table:
        """The entries of the `number`-th page of a kept span."""
        return self._page(span.prefix, span.after, number)[0]

    def keep_folder(self, prefix: str, entries: pa.Table, folders: tuple[str, ...]) -> None:
        """Keep what is in a folder."""
        row = (prefix, _packed(entries), json.dumps(folders))
        with _errors_in_words(self.path), self._lock:
            self._connection.execute("INSERT INTO folders VALUES (?, ?, ?)", row)

    def keep_page(self, span: Span, entries: pa.Table, following: dict[str, str] | None) -> None:
        """Keep the next page of a span, and what asks for the one after it."""
        row = (span.prefix, span.after, span.pages, _packed(entries), json.dumps(following))
        with _errors_in_words(self.path), self._lock:
            self._connection.execute("INSERT INTO pages VALUES (?, ?, ?, ?, ?)", row)

    def _span(self, prefix: str, after: str, pages: int) -> Span:
        first, (last, following) = self._page(prefix, after, 0)[0], self._page(prefix, after, pages - 1)
        keys = [*dict.fromkeys(last["key"].to_pylist())]
        return Span(
            prefix=prefix,
            after=after,
            pages=pages,
            first=first["key"][0].as_py() if len(first) else None,
            last=keys[-1] if keys else after,
            before_last=keys[-2] if len(keys) > 1 else None,
            following=following,
        )

    def _page(self, prefix: str, after: str, number: int) -> tuple[pa.Table, dict[str, str] | None]:
        query = "SELECT entries, following FROM pages WHERE prefix = ? AND after = ? AND number = ?"
        with _errors_in_words(self.path):
            row = self._row(query, prefix, after, number)
            if row is None:
                raise BrokenCheckpointError(f"{self.path} lacks a page of {prefix!r}: delete it to begin anew")
            return _unpacked(row[0]), json.loads(row[1])

    def _row(self, query: str, *values: str | int) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row


def _packed(entries: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ENTRY_SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(entries)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _unpacked(entries: bytes) -> pa.Table:
    return pa.ipc.open_stream(entries).read_all()


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
    pages = connection.execute("SELECT (SELECT count(*) FROM pages) + (SELECT count(*) FROM folders)").fetchone()[0]
    reporter.message(f"going on with the scan of {row[1]}: {counted(pages, 'page')} in {path}")
    if datetime.now(UTC) - started > _STALE_AFTER:
        hours = (datetime.now(UTC) - started) // timedelta(hours=1)
        reporter.message(
            f"that was {counted(hours, 'hour')} ago: what was written since to the part that is listed will be "
            f"missing; delete {path} to begin anew"
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
