"""Selections: some files of a branch at one version, or of a bucket, by rules. Pure.

The rules are a person's; the digest is over branch, version, rules and the files that they gave, so that a selection
can be cited and asked for again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import INT64_MAX
from opendata_pkg.globs import match_globs
from opendata_pkg.model import (
    ETag,
    Grade,
    Md5,
    NotFoundError,
    ObjectKey,
    Sha256,
    VersionId,
    best_digest,
    grade_of,
)
from opendata_pkg.text import counted, escape_line
from opendata_pkg.urls import object_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opendata_pkg.catalogue.branch import License
    from opendata_pkg.catalogue.catalogue import Catalogue

FILES = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("branch", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("md5", pa.string()),
        pa.field("last_modified", pa.timestamp("us", tz="UTC")),
        pa.field("base_url", pa.dictionary(pa.int32(), pa.string())),
    ]
)
"""What readers know of files: the full path in the catalogue's tree, the path of the dataset's branch (empty: the
root), then as in a snapshot, and the URL that the percent-encoded key is appended to. Sorted by the path's bytes."""

_BATCH_ROWS = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEAR = 3
_SHOWN = 10


class EmptySelectionError(NotFoundError):
    """Rules that give no file; names what is near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which files of a branch are meant; without any, all.

    `path` is a file or folder below the branch. `include` and `exclude` are gitignore-style globs on paths relative to
    the branch. `larger` and `smaller` are in bytes, both exclusive; a file of unknown size is neither.
    """

    path: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    larger: int | None = None
    smaller: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The rules as JSON values, only those that are given; globs as `_in_order` has them."""
        document = {
            "path": self.path,
            "include": _in_order(self.include),
            "exclude": _in_order(self.exclude),
            "larger": self.larger,
            "smaller": self.smaller,
        }
        return {name: value for name, value in document.items() if value not in (None, [])}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Rules:
        """The inverse of `to_dict`."""
        values = dict(document)
        return cls(**values | {name: tuple(values.get(name, ())) for name in ("include", "exclude")})

    def normal(self) -> Rules:
        """The same rules as they are recorded: the order of globs and a slash behind a folder must not matter."""
        document = self.to_dict()
        if self.path is not None:
            document["path"] = self.path.rstrip("/") or self.path
        return Rules.from_dict(document)


def _in_order(globs: Sequence[str]) -> list[str]:
    """Globs as they are recorded: sorted, each once, unless one undoes another (`!x`): then order has a meaning."""
    return list(globs) if any(glob.startswith("!") for glob in globs) else sorted(set(globs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a selection is of.

    `source` is a store's path or URL, `s3://bucket/prefix`, or a snapshot's file. `branch` is its path (`.`: the root,
    or all of a bucket's prefix), `version` the release, `commit` the dataset's (both None without a store), `snapshot`
    the id of the snapshot that it is from, `date` (ISO 8601) the day of the release or of the newest object.
    """

    source: str
    branch: str
    version: str | None
    snapshot: str
    commit: str | None
    date: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedFile:
    """One file of a selection: where it is in the tree, where its bytes are, and what is known of them."""

    path: str
    branch: str
    key: ObjectKey
    version_id: VersionId | None
    size_bytes: int | None
    etag: ETag | None
    sha256: Sha256 | None
    md5: Md5 | None
    last_modified: datetime | None
    url: str | None

    @property
    def digest(self) -> str | None:
        """`sha256:HEX`, else `md5:HEX`, else None."""
        return best_digest(self.sha256, self.md5)

    @property
    def grade(self) -> Grade:
        """The pin grade (docs/explanation/identity.md)."""
        return grade_of(self.digest, self.version_id)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Files by rules: `table` in `FILES`, never empty. `catalogue` says what they are, if there is one."""

    origin: Origin
    rules: Rules
    table: pa.Table
    catalogue: Catalogue | None

    def __len__(self) -> int:
        """How many files."""
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        """What it is of, and how much: not its rows."""
        origin = self.origin
        version = "" if origin.version is None else f"@{origin.version}"
        amount = f"{counted(len(self), 'file')}, {counted(self.size_bytes, 'byte')}"
        return f"<Selection {origin.branch}{version} of {origin.source}: {amount}>"

    @cached_property
    def digest(self) -> str:
        """`sha256:HEX` over branch, version, rules and files; see `selection_digest`."""
        columns = (self.table[name].to_pylist() for name in ("path", "size", "sha256", "md5"))
        rows = ((path, size, best_digest(sha256, md5)) for path, size, sha256, md5 in zip(*columns, strict=True))
        return selection_digest(self.origin.branch, self.origin.version, self.rules, rows)

    @property
    def size_bytes(self) -> int:
        """The sum of the known sizes."""
        return int(pc.sum(self.table["size"]).as_py() or 0)

    @property
    def branches(self) -> tuple[str, ...]:
        """The paths of the branches whose own files are in it, sorted by bytes."""
        return tuple(sorted(set(pc.unique(self.table["branch"]).to_pylist()), key=str.encode))

    def licenses(self) -> tuple[License, ...]:
        """Every licence of its branches, each once."""
        if self.catalogue is None:
            return ()
        known = [terms for path in self.branches for terms in self.catalogue.branches[path].licenses]
        return tuple(dict.fromkeys(known))

    def _repr_html_(self) -> str:
        """What it holds, as notebooks show it: totals, then its first files."""
        from opendata_pkg.html import html_table  # noqa: PLC0415 - notebooks have time

        origin, size = self.origin, self.size_bytes / 1e6
        version = "" if origin.version is None else f"@{origin.version}"
        caption = (
            f"{origin.branch}{version} of {origin.source}: {counted(len(self), 'file')}, {size:,.1f} MB, {self.digest}"
        )
        first = replace(self, table=self.table.slice(0, _SHOWN)).files()
        rows = [(file.path, file.size_bytes, file.grade.value, file.digest) for file in first]
        if len(self) > _SHOWN:
            rows.append((f"and {len(self) - _SHOWN:,} more", None, "", None))
        return html_table(caption, ("path", "bytes", "grade", "digest"), rows)

    def files(self) -> Iterator[SelectedFile]:
        """The files, in byte order of their paths."""
        times = FILES.names.index("last_modified")
        for batch in self.table.to_batches(max_chunksize=_BATCH_ROWS):
            # As numbers: Arrow would look `UTC` up in a time zone database, which small systems do not have.
            plain = batch.set_column(times, "last_modified", batch["last_modified"].cast(pa.int64()))
            columns = [plain.column(index).to_pylist() for index in range(len(FILES))]
            for path, branch, key, version_id, size, etag, sha256, md5, modified, base in zip(*columns, strict=True):
                yield SelectedFile(
                    path=path,
                    branch=branch,
                    key=key,
                    version_id=version_id,
                    size_bytes=size,
                    etag=etag,
                    sha256=sha256,
                    md5=md5,
                    last_modified=None if modified is None else _EPOCH + timedelta(microseconds=modified),
                    url=None if base is None else object_url(base, key, version_id),
                )


def selection_digest(
    branch: str, version: str | None, rules: Rules, rows: Iterable[tuple[str, int | None, str | None]]
) -> str:
    """`sha256:HEX` over lines that standard tools can make: what was asked, then what it gave.

    First `branch TAB PATH`, `version TAB V`, and a line for each rule, `exclude`, `include`, `larger`, `path`,
    `smaller` in this order and globs sorted; then `PATH TAB BYTES TAB DIGEST` for each file, by the bytes of its full
    path, as in a content digest: `-` for what is not known, control bytes, `%` and DEL percent-encoded.

    `rows` are (path, size in bytes, digest).
    """
    asked = rules.to_dict()
    lines = [f"branch\t{escape_line(branch)}", f"version\t{version or '-'}"]
    for name in sorted(asked):
        values = asked[name] if isinstance(asked[name], list) else [asked[name]]
        lines += [f"{name}\t{escape_line(str(value))}" for value in values]
    digest = hashlib.sha256(("\n".join(lines) + "\n").encode())
    for path, size, known in sorted(rows, key=lambda row: row[0].encode()):
        digest.update(f"{escape_line(path)}\t{'-' if size is None else size}\t{known or '-'}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def select(table: pa.Table, rules: Rules, *, prefix: str, where: str) -> pa.Table:
    """The rows of a table in `FILES` that the rules mean; paths are relative to `prefix`, empty or with its slash.

    Raises:
        EmptySelectionError: there are none; `where` names what was looked through.
        UsageError: a glob is not in gitignore's syntax.
    """
    found = match(table, rules, prefix=prefix)
    if not found.num_rows:
        raise nothing_selected([table], rules, prefix=prefix, where=where)
    return found


def match(table: pa.Table, rules: Rules, *, prefix: str) -> pa.Table:
    """As `select`, but it may be that nothing is left; so parts of a table can be asked one by one.

    Raises:
        UsageError: a glob is not in gitignore's syntax.
    """
    return match_names(match_sizes(table, rules), rules, prefix=prefix)


def match_sizes(table: pa.Table, rules: Rules) -> pa.Table:
    """The rows of a table with the column `size` whose sizes the rules mean."""
    sizes = table["size"]
    within = [] if rules.larger is None else [pc.greater(sizes, min(rules.larger, INT64_MAX))]
    within += [] if rules.smaller is None else [pc.less(sizes, min(rules.smaller, INT64_MAX))]
    # What is null, of unknown size, is left out by `filter`.
    return table.filter(reduce(pc.and_, within)) if within else table


def match_names(table: pa.Table, rules: Rules, *, prefix: str) -> pa.Table:
    """The rows of a table with the column `path` whose paths the rules mean.

    Raises:
        UsageError: a glob is not in gitignore's syntax.
    """
    if rules.path is not None:
        table = table.filter(_below(table["path"], prefix + rules.path.rstrip("/")))
    if rules.include or rules.exclude:
        relative = pc.utf8_slice_codeunits(table["path"], start=len(prefix)) if prefix else table["path"]
        table = table.filter(match_globs(relative, rules.include, rules.exclude))
    return table


def nothing_selected(tables: Iterable[pa.Table], rules: Rules, *, prefix: str, where: str) -> EmptySelectionError:
    """Why the rules mean none of the rows of some tables in `FILES`: names what is there."""
    at_path = None if rules.path is None else prefix + rules.path.rstrip("/")
    count, first, first_at_path = 0, FILES.empty_table(), FILES.empty_table()
    for table in tables:
        below = table if at_path is None else table.filter(_below(table["path"], at_path))
        count += below.num_rows
        if first.num_rows < _BATCH_ROWS:
            first = pa.concat_tables([first, table])
        if first_at_path.num_rows < _BATCH_ROWS:
            first_at_path = pa.concat_tables([first_at_path, below])
    if rules.path is not None and not count:
        return EmptySelectionError(_no_path(first, rules.path.rstrip("/"), prefix, where))
    return EmptySelectionError(_nothing(first_at_path, count, rules, where))


def _below(paths: pa.ChunkedArray, path: str) -> pa.ChunkedArray:
    return pc.or_(pc.equal(paths, path), pc.starts_with(paths, f"{path}/"))


def _nothing(table: pa.Table, count: int, rules: Rules, where: str) -> str:
    """What is there instead of what was asked for."""
    given = ", ".join(
        f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in rules.to_dict().items()
    )
    asked = f"no file of {where}" + (f" matches {given}" if given else "")
    if not count:
        return f"{asked}: nothing is there at all; look around with opendata tree or opendata find"
    names = (path.rpartition("/")[2] for path in table["path"].slice(0, _BATCH_ROWS).to_pylist())
    endings = Counter(f"*.{name.rpartition('.')[2]}" if "." in name[1:] else name for name in names)
    usual = ", ".join(f"{number} {ending}" for ending, number in endings.most_common(_NEAR))
    return f"{asked}: without these rules it has {counted(count, 'file')}, such as {usual}; try other globs or sizes"


def _no_path(table: pa.Table, path: str, prefix: str, where: str) -> str:
    """The files and folders that may be meant by a path at which there are none."""
    sentence = f"no file or folder {path!r} in {where}: paths are relative to it"
    path = path.lstrip("/")
    names = [name[len(prefix) :] for name in table["path"].slice(0, _BATCH_ROWS).to_pylist()]
    depth = path.count("/") + 1
    # What stands at the same depth, and then names of files, wherever they are.
    beside = {"/".join(name.split("/")[:depth]): None for name in names}
    near = _near_names(path, beside) or [
        name for name in names if name.rpartition("/")[2].casefold() == path.rpartition("/")[2].casefold()
    ]
    return sentence + (f"; did you mean {' or '.join(near[:_NEAR])}?" if near else "; opendata find lists them")


def _near_names(wanted: str, names: Iterable[str]) -> list[str]:
    """Names spelled like one that is not there: up to three, the most alike first."""
    import difflib  # noqa: PLC0415 - only for those who mistyped

    by_folded = {name.casefold(): name for name in names}
    return [by_folded[found] for found in difflib.get_close_matches(wanted.casefold(), by_folded, _NEAR)]
