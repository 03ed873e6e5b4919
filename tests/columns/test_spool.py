"""Tables larger than memory should hold: the same rows, and memory proper stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.columns.spool import in_rows_order, spooled

SCHEMA = pa.schema([pa.field("key", pa.string()), pa.field("branch", pa.dictionary(pa.int32(), pa.string()))])


def open_files():
    """How many this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def pieces(count, rows=1000):
    """Tables, each with dictionaries of its own."""
    for number in range(count):
        keys = [f"{number:05d}/{row:05d}" for row in range(rows)]
        branches = pa.array([f"branch {number}"] * rows).dictionary_encode()
        yield pa.table([pa.array(keys), branches], schema=SCHEMA)


@pytest.mark.parametrize("limit", [0, 50_000, 1 << 30])
def test_the_same_rows_wherever_they_are(tmp_path, monkeypatch, limit):
    """In order, with all values; no file is left, not even while the table is used."""
    monkeypatch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", limit)
    table = spooled(pieces(20), SCHEMA, folder=tmp_path)
    assert table.equals(pa.concat_tables(pieces(20)).unify_dictionaries())
    assert table["branch"].combine_chunks().dictionary.to_pylist() == [f"branch {number}" for number in range(20)]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_an_empty_table():
    """In the schema that was asked for."""
    assert spooled([], SCHEMA).equals(SCHEMA.empty_table())


def test_what_is_mapped_is_not_in_memory_proper(tmp_path, monkeypatch):
    """Arrow holds a few pieces while they are written, and afterwards dictionaries' numbers at most."""
    monkeypatch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", 1 << 20)
    before, most = pa.total_allocated_bytes(), 0

    def watched():
        nonlocal most
        for piece in pieces(300):
            most = max(most, pa.total_allocated_bytes() - before)
            yield piece

    table = spooled(watched(), SCHEMA, folder=tmp_path)
    assert most < 2 << 20 < table.nbytes / 3
    assert pa.total_allocated_bytes() - before < 2 << 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what is in memory is told by Linux's /proc")
def test_the_process_stays_small(tmp_path):
    """Reading all of a mapped table, again and again, does not bring all of it into the process, as the system counts."""
    script = """
import sys, time
from pathlib import Path
import pyarrow as pa, pyarrow.compute as pc
from opendata_pkg.columns import spool
spool.SPOOL_BYTES, spool._RESIDENT_BYTES = 1 << 20, int(sys.argv[2])
schema = pa.schema([pa.field("key", pa.string())])
piece = pa.table([pa.array(["x" * 200] * 20_000)], schema=schema)
table = spool.spooled([piece] * 100, schema, folder=Path(sys.argv[1]))
assert table.nbytes > 400_000_000
for _ in range(2):
    for chunk in table["key"].chunks:
        pc.equal(chunk, "x" * 200)
        # As long as work on so many rows takes.
        time.sleep(0.005)
# The most it ever was; what getrusage tells may be that of the process which started this one.
said = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
print(int(said.split()[0]) // 1024)
"""
    words = [sys.executable, "-c", script, str(tmp_path)]
    small, large = (
        int(subprocess.run([*words, str(limit)], capture_output=True, check=True).stdout)
        for limit in (50 << 20, 1 << 40)
    )
    assert small + 200 < large


@given(st.lists(st.integers(0, 59)), st.integers(1, 7), st.sampled_from([0, 1 << 20]))
def test_rows_are_taken_in_any_order(rows, block, limit):
    """As Arrow takes them, some of them or all, of a table in pieces."""
    table = spooled(pieces(20, rows=3), SCHEMA)
    numbers = pa.array(rows, pa.uint64())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", limit)
        patch.setattr("opendata_pkg.columns.spool._BLOCK_ROWS", block)
        assert in_rows_order(table, numbers).to_pylist() == table.take(numbers).to_pylist()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted by Linux's /proc")
def test_the_file_goes_with_the_table(tmp_path, monkeypatch):
    """Its descriptor too."""
    monkeypatch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", 0)
    before = open_files()
    table = spooled(pieces(3), SCHEMA, folder=tmp_path)
    assert open_files() > before
    del table
    assert open_files() == before
