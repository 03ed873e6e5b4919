"""A first catalogue for a bucket that has none, made from a snapshot: a beginning for a person to go on with. Pure.

What only a person can know is left for the person: the title is a question, and the catalogue is refused until somebody
has said on what terms the data may be used.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from opendata_pkg.catalogue.branch import NAME_MAX, default_name
from opendata_pkg.documents import FORMAT
from opendata_pkg.drift.proposal import Folder, propose
from opendata_pkg.model import NotFoundError, UsageError
from opendata_pkg.plan.plan import is_marker
from opendata_pkg.snapshot.header import format_time
from opendata_pkg.text import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from opendata_pkg.snapshot.snapshot import Snapshot

DEFAULT_DEPTH = 2
DEFAULT_MIN_OBJECTS = 10

# Of a snapshot without any dates; no commit of a dataset with dates looks at it.
_NO_DATES = datetime(2000, 1, 1, tzinfo=UTC)


def start_catalogue(
    snapshot: Snapshot,
    *,
    catalogue_id: str | None = None,
    depth: int = DEFAULT_DEPTH,
    min_objects: int = DEFAULT_MIN_OBJECTS,
) -> str:
    """The YAML text of a catalogue: id, epoch, and a branch for each folder that is worth one.

    Args:
        snapshot: what the bucket holds.
        catalogue_id: the namespace of the dataset ids; by default made from the bucket's name.
        depth: how many folders deep branches go.
        min_objects: a folder with fewer objects at or below it is no branch of its own.

    Raises:
        NotFoundError: the snapshot is empty.
        UsageError: no id follows from the source's name.
    """
    if len(snapshot) == 0:
        raise NotFoundError("the snapshot holds no objects: there is nothing to start a catalogue from")
    source = snapshot.header.bucket or snapshot.header.source.rstrip("/").rpartition("/")[2]
    identity = catalogue_id or default_name(source)[:NAME_MAX]
    if not identity:
        raise UsageError(f"no id of a-z, 0-9, . and - follows from {source!r}: state one")
    folders = _folders(snapshot, depth, min_objects)
    dates = (entry.last_modified for entry in snapshot.objects())
    epoch = min((date for date in dates if date is not None), default=_NO_DATES).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return f"""\
# A beginning, made from a snapshot of {_comment(snapshot.header.source)}: {counted(len(snapshot), "object")}, \
{counted(snapshot.size_bytes, "byte")}.
# Say what it does not know, then: opendata validate THIS-FILE
format: {FORMAT}
# The namespace of all dataset ids: never change it once something was released.
id: {json.dumps(identity)}
# In a few words, what this bucket holds.
title: "TITLE TO BE WRITTEN: what {_comment(source)} holds"
# Commit time of datasets without any dates.
epoch: {format_time(epoch)}
# On what terms the data may be used: only their owner can say. Put a list here, for example
#   - name: CC-BY-4.0
#     path: https://creativecommons.org/licenses/by/4.0/
# or [] if they are not known. Until then this catalogue is refused.
licenses:
# Folders of {min_objects} objects or more, {depth} deep. Take out what is no dataset of its own; describe the others.
{propose(folders, taken=[identity])}"""


def _folders(snapshot: Snapshot, depth: int, min_objects: int) -> list[Folder]:
    """The folders with enough objects at or below them, by path, in byte order: parents before their children."""
    table: pa.Table = snapshot.table.select(["key", "size"])
    table = table.filter(pc.invert(is_marker(table)))
    found: list[Folder] = []
    for level in range(1, depth + 1):
        captured = pc.extract_regex(table["key"], pattern=f"^(?P<folder>(?:[^/]*/){{{level}}})")
        table = table.append_column("folder", pc.struct_field(captured, "folder"))
        table = table.filter(pc.is_valid(table["folder"]))
        counted = table.group_by("folder").aggregate([("key", "count"), ("size", "sum")])
        for row in counted.to_pylist():
            if row["key_count"] >= min_objects:
                path = row["folder"].removesuffix("/")
                found.append(Folder(path=path, objects=row["key_count"], size_bytes=row["size_sum"] or 0))
        table = table.drop_columns(["folder"])
    return sorted(found, key=lambda folder: folder.path.encode())


def _comment(text: str) -> str:
    """Text for a comment or within double quotes: on one line, without what either would take for its own."""
    return json.dumps(text)[1:-1]
