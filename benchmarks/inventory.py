"""How fast an S3 Inventory becomes a snapshot, and how much memory it takes.

    python benchmarks/inventory.py [OBJECTS ...] [--listing]

Each figure is one fresh process, timed from outside, from the manifest to the written snapshot. The inventories are of
generated snapshots, in data files of 250,000 rows, with every column that Amazon offers of those that matter here.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import math
import multiprocessing
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from generate import generate_snapshot
from timing import opendata, run

from opendata_pkg.catalogue.catalogue import shipped_catalogue

if TYPE_CHECKING:
    from opendata_pkg.snapshot.snapshot import Snapshot

_ROWS_A_FILE = 250_000
_COLUMNS = {
    "bucket": "Bucket",
    "key": "Key",
    "version_id": "VersionId",
    "is_latest": "IsLatest",
    "is_delete_marker": "IsDeleteMarker",
    "size": "Size",
    "last_modified_date": "LastModifiedDate",
    "e_tag": "ETag",
    "storage_class": "StorageClass",
    "encryption_status": "EncryptionStatus",
}
_FORMATS = ("Parquet", "CSV")


def write_inventory(snapshot: Snapshot, folder: Path, file_format: str) -> Path:
    """An inventory of a snapshot's objects as Amazon lays it out; returns its manifest's path."""
    (folder / "data").mkdir(parents=True)
    files = []
    for number, start in enumerate(range(0, len(snapshot), _ROWS_A_FILE)):
        data = encode(as_inventory(snapshot.table.slice(start, _ROWS_A_FILE)), file_format)
        path = folder / "data" / f"{number}.{'csv.gz' if file_format == 'CSV' else 'parquet'}"
        path.write_bytes(data)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        files.append({"key": f"inventories/data/{path.name}", "size": len(data), "MD5checksum": md5})
    fields = "".join(f"optional binary {name} (UTF8); " for name in _COLUMNS)
    schema = ", ".join(_COLUMNS.values()) if file_format == "CSV" else f"message s3.inventory {{ {fields}}}"
    manifest = folder / "2024-06-01T00-00Z" / "manifest.json"
    manifest.parent.mkdir()
    document = {
        "sourceBucket": snapshot.header.bucket,
        "version": "2016-11-30",
        "creationTimestamp": "1717200000000",
        "fileFormat": file_format,
        "fileSchema": schema,
        "files": files,
    }
    manifest.write_text(json.dumps(document))
    return manifest


def as_inventory(rows: pa.Table) -> pa.Table:
    """A snapshot's rows in the columns of an inventory."""
    same = {"e_tag": "etag", "last_modified_date": "last_modified"}
    constants = {
        "bucket": "openbluebrain",
        "is_latest": True,
        "is_delete_marker": False,
        "encryption_status": "SSE-S3",
    }
    columns = {
        name: pa.repeat(pa.scalar(constants[name]), len(rows)) if name in constants else rows[same.get(name, name)]
        for name in _COLUMNS
    }
    columns["last_modified_date"] = columns["last_modified_date"].cast(pa.timestamp("ms", "UTC"))
    return pa.table(columns)


def encode(table: pa.Table, file_format: str) -> bytes:
    """A data file's bytes: Parquet, or CSV with every value quoted and keys URL-encoded."""
    stream = io.BytesIO()
    if file_format == "Parquet":
        pq.write_table(table, stream)
        return stream.getvalue()
    keys = pa.array([quote_plus(key, safe="/") for key in table["key"].to_pylist()])
    times = pc.strftime(table["last_modified_date"], format="%Y-%m-%dT%H:%M:%SZ")
    texts = {name: table[name].cast(pa.string()) for name in table.column_names if name != "last_modified_date"}
    table = pa.table({**texts, "key": keys, "last_modified_date": times}).select(list(_COLUMNS))
    options = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pa.csv.write_csv(table, stream, options)
    return gzip.compress(stream.getvalue(), 6)


def prepare(folder: Path, size: int) -> None:
    """Both inventories and a listing file of so many objects, each in a folder of its own."""
    snapshot = generate_snapshot(size, shipped_catalogue())
    for file_format in _FORMATS:
        write_inventory(snapshot, folder / file_format, file_format)
    (folder / "listing").mkdir()
    times = pc.strftime(snapshot.table["last_modified"], format="%Y-%m-%dT%H:%M:%SZ")
    pa.csv.write_csv(snapshot.table.set_column(6, "last_modified", times), folder / "listing" / "listing.csv")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("objects", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--listing", action="store_true", help="scan the same objects from a CSV file, too")
    options = parser.parse_args()
    sizes: list[int] = options.objects
    sources = {name: f"{name}/2024-06-01T00-00Z/manifest.json" for name in _FORMATS}
    if options.listing:
        sources["listing"] = "listing/listing.csv"
    times: dict[str, list[float]] = {name: [] for name in sources}
    print(f"{'rows':>10} {'source':>8} {'data MB':>8} {'seconds':>8} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        for size in sizes:
            folder = Path(temporary) / str(size)
            # In a process of its own: what one that starts another has in memory counts as the other's peak.
            maker = multiprocessing.get_context("spawn").Process(target=prepare, args=(folder, size))
            maker.start()
            maker.join()
            for name, source in sources.items():
                files = [path for path in (folder / name).rglob("*") if path.is_file() and path.suffix != ".json"]
                megabytes = sum(path.stat().st_size for path in files) / 1e6
                where = ("--bucket", "openbluebrain") if name == "listing" else ()
                words = (
                    "scan",
                    str(folder / source),
                    *where,
                    "--region",
                    "us-west-2",
                    "--out",
                    str(folder / "s.parquet"),
                )
                seconds, _, peak = run(opendata(*words, "--quiet"), folder)
                times[name].append(seconds)
                print(f"{size:>10} {name:>8} {megabytes:>8.1f} {seconds:>8.2f} {peak:>8.0f}", flush=True)
            shutil.rmtree(folder)
    if len(sizes) > 1:
        for name, seconds_by_size in times.items():
            exponent = math.log(seconds_by_size[-1] / seconds_by_size[0]) / math.log(sizes[-1] / sizes[0])
            print(f"{name}: the cost grows with rows to the power of {exponent:.2f}")


if __name__ == "__main__":
    main()
