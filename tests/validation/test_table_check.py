"""Tables are checked in one pass: every fault with its line, whatever is wrong with the file."""

import csv
import hashlib
import io
import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.documents import shipped
from opendata_pkg.validation.table_check import SHOWN_MAX, TableChecker
from opendata_pkg.validation.table_schema import TableSchema, UnusableTableSchemaError

SCHEMA = {
    "fields": [
        {"name": "path", "constraints": {"required": True, "unique": True, "pattern": "[a-z/]+"}},
        {"name": "key", "constraints": {"unique": True}},
        {"name": "bytes", "type": "integer", "constraints": {"minimum": 0}},
        {"name": "when", "type": "datetime"},
        {"name": "grade", "constraints": {"enum": ["fixed", "mutable"]}},
    ],
    "primaryKey": "path",
}
HEADER = "path,key,bytes,when,grade\n"


def check(*files, schema=SCHEMA):
    """What is said of a table in files `0`, `1`, …, as the lines a person reads."""
    checker = TableChecker(TableSchema.from_dict(schema, "s"))
    for index, data in enumerate(files):
        checker.check(io.BytesIO(data if isinstance(data, bytes) else data.encode()), str(index))
    checker.finish()
    return [str(fault) for fault in checker.faults()]


def test_a_good_table_has_no_faults():
    """Quotes, commas and line ends within values are CSV as it should be."""
    assert check(HEADER + 'a,"x,\n""y""",1,2024-01-31T12:00:00.5Z,fixed\nb,,,,\n') == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("A,k,1,,", 'column path: expected the form [a-z/]+, got "A"'),
        (",k,1,,", 'column path: expected a value, got ""'),
        ("a,k,1.5,,", 'column bytes: expected a whole number, got "1.5"'),
        ("a,k,-1,,", 'column bytes: expected at least 0, got "-1"'),
        ("a,k,1,yesterday,", 'column when: expected a time such as 2024-01-31T12:00:00Z, got "yesterday"'),
        ("a,k,1,2024-02-30T00:00:00Z,", 'column when: expected a time of the calendar, got "2024-02-30T00:00:00Z"'),
        ("a,k,1,,Fixd", 'column grade: expected one of fixed, mutable, got "Fixd"; did you mean fixed?'),
    ],
)
def test_each_value_is_checked_by_type_and_constraints(row, fault):
    """The message says what was expected, what was got, and what was probably meant."""
    assert check(HEADER + row + "\n") == [f"0, line 2, {fault}"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (
            "\ufeff" + HEADER,
            (
                "0, line 1: expected plain UTF-8, got a byte order mark (BOM) before the first column's name; "
                "save the file as UTF-8 without BOM"
            ),
        ),
        (
            HEADER + "a,b,1,,\r\n",
            (
                "0, line 2: expected lines that end in LF, got CR LF (Windows line ends) on 1 of them; "
                "save the file with Unix line ends"
            ),
        ),
        (
            HEADER + 'a,"b"x,1,,\n',
            (
                "0, line 2: cannot be read as CSV (',' expected after '\"'); put a value that holds commas, quotes or "
                'line ends in quotes, and write each " in it twice'
            ),
        ),
        (
            HEADER + 'a,"b,1,,\n',
            (
                "0, line 2: cannot be read as CSV (unexpected end of data); put a value that holds commas, quotes or "
                'line ends in quotes, and write each " in it twice'
            ),
        ),
        (
            HEADER + "a,b,c,1,,\n",
            "0, line 2: expected 5 values, got 6; a value that holds a comma must stand in quotes",
        ),
        (HEADER + "a,b\n", "0, line 2: expected 5 values, got 2"),
        (HEADER.encode() + b"a,\xe9,1,,\n", "0, line 2: expected UTF-8, got the byte 0xe9; save the file as UTF-8"),
        (HEADER.encode("utf-16"), "0, line 1: expected UTF-8, got UTF-16; save the file as UTF-8"),
        (
            HEADER.replace(",", ";"),
            "0, line 1: expected commas between the columns, got semicolons; save the file as CSV with commas",
        ),
        ("path,bytes,key,when,grade\n", "0, line 1: expected the columns in the order path, key, bytes, when, grade"),
        ("path,key,bytes,when,grade,key\n", "0, line 1: expected each column once, got key again"),
    ],
    ids=["bom", "crlf", "quote", "open-quote", "many", "few", "latin-1", "utf-16", "semicolon", "order", "twice"],
)
def test_what_is_wrong_with_the_file_is_named(data, fault):
    """A BOM, Windows line ends, bad quoting and other encodings are told as what they are, with the line."""
    assert fault in check(data)


def test_a_misspelled_column_is_told_with_what_was_meant():
    """Both what is missing and what stands in its place."""
    assert check("path,key,byts,when,grade\n") == [
        "0, line 1: expected a column bytes, which is missing",
        '0, line 1: unknown column "byts"; known are path, key, bytes, when, grade; did you mean bytes?',
    ]


def test_lines_are_right_after_a_row_that_cannot_be_read():
    """Checking goes on behind broken lines and rows of several lines, and counts them."""
    data = HEADER.encode() + b'a,"x\ny",1,,\nb,"x"y,1,,\nc,\xff,1,,\nd,,x,,\ne,,y,,\n'
    faults = check(data)
    assert [fault for fault in faults if "whole number" in fault] == [
        '0, line 6, column bytes: expected a whole number, got "x"',
        '0, line 7, column bytes: expected a whole number, got "y"',
    ]
    assert any(fault.startswith("0, line 4: cannot be read as CSV") for fault in faults)
    assert any(fault.startswith("0, line 5: expected UTF-8") for fault in faults)


def test_order_and_uniqueness_hold_across_files():
    """A shard goes on where the one before ended; a column's values stand once in all of them."""
    assert check(HEADER + "a,k,,,\nb,l,,,\n", HEADER + "b,m,,,\na,k,,,\n") == [
        '1, line 2, column path: expected each value once, got "b" again',
        '1, line 3, column path: expected rows in byte order, got "a" after "b"',
        "1, line 3, column key: expected each value once, got that of line 2 of 0 again",
    ]


def test_absent_values_repeat_nothing():
    """Several rows may lack a value of a unique column."""
    assert check(HEADER + "a,,,,\nb,,,,\nc,,,,\n") == []


def test_many_faults_of_a_kind_are_counted():
    """The first few are told, and how many more there are: a broken column does not bury the rest."""
    rows = "".join(f"{chr(97 + index)},{index},x,,\n" for index in range(20))
    faults = check(HEADER + rows)
    assert len(faults) == SHOWN_MAX + 1
    assert faults[-1] == "0, column bytes: 17 more faults of this kind: expected a whole number"


def test_facts_of_the_file_come_along():
    """Rows, bytes and SHA-256 of all bytes, and sums of whole numbers and counts of words."""
    data = (HEADER + "a,,5,,fixed\nb,,7,,mutable\nc,,,,fixed\n").encode()
    checker = TableChecker(TableSchema.from_dict(SCHEMA, "s"))
    facts = checker.check(io.BytesIO(data), "0")
    assert (facts.rows, facts.size_bytes, facts.sha256) == (3, len(data), hashlib.sha256(data).hexdigest())
    assert checker.sums["bytes"] == 12
    assert checker.counts["grade"] == {"fixed": 2, "mutable": 1}


def test_memory_stays_bounded():
    """Three times the rows take a few bytes a row more, not the rows themselves; nor does one endless line."""
    schema = TableSchema.from_dict(json.loads((shipped("schemas") / "files.tableschema.json").read_bytes()), "s")

    def peak(stream):
        checker = TableChecker(schema)
        tracemalloc.start()
        checker.check(stream, "0")
        checker.finish()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    header = ",".join(schema.names) + "\n"
    rows = [f"p{n:08d},k{n:08d},{n},{'a' * 64},,{'e' * 32},,,mutable\n" for n in range(60_000)]
    few, many = (peak(io.BytesIO((header + "".join(part)).encode())) for part in (rows[:20_000], rows))
    assert many - few < 40_000 * 150
    assert peak(io.BytesIO(b"x" * 50_000_000)) < 20_000_000


@given(st.lists(st.lists(st.text('ab,"\n é', max_size=4), min_size=2, max_size=2), max_size=6), st.integers(0, 6))
def test_rows_are_read_as_csv_reads_them(rows, quoted_from):
    """Lines without quotes are split at commas, all others by csv: what is seen is the same."""
    text = io.StringIO()
    for index, row in enumerate([["a", "b"], *rows]):
        quoting = csv.QUOTE_ALL if index > quoted_from else csv.QUOTE_MINIMAL
        csv.writer(text, lineterminator="\n", quoting=quoting).writerow(row)
    schema = {"fields": [{"name": name, "constraints": {"enum": ["none of them"]}} for name in "ab"]}
    schema["missingValues"] = []
    checker = TableChecker(TableSchema.from_dict(schema, "s"))
    facts = checker.check(io.BytesIO(text.getvalue().encode()), "0")
    seen = list(csv.reader(io.StringIO(text.getvalue()), strict=True))[1:]
    assert facts.rows == len(seen)
    assert checker.counts == {name: Counter(row[i] for row in seen) for i, name in enumerate("ab")}


@given(st.binary(max_size=300))
def test_no_bytes_break_the_check(data):
    """Whatever the file holds, the answer is a list of faults and the file's own digest."""
    checker = TableChecker(TableSchema.from_dict(SCHEMA, "s"))
    facts = checker.check(io.BytesIO(HEADER.encode() + data), "0")
    checker.finish()
    assert facts.sha256 == hashlib.sha256(HEADER.encode() + data).hexdigest()


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({}, "s: expected a Table Schema with a list of `fields`"),
        ({"fields": [{}]}, "s: expected each field to have a name, got {}"),
        (
            {"fields": [{"name": "a", "type": "integr"}]},
            (
                "s: field a: expected one of the types string, integer, number, boolean, date, datetime, "
                'got "integr"; did you mean integer?'
            ),
        ),
        (
            {"fields": [{"name": "a", "constraints": {"pattern": "("}}]},
            "s: field a: its pattern is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        ({"fields": [{"name": "a", "constraints": []}]}, "s: field a: expected constraints, got []"),
        (
            {"fields": [{"name": "a", "type": "integer", "constraints": {"minimum": "0"}}]},
            's: field a: expected a minimum that fits the type integer, got "0"',
        ),
        (
            {"fields": [{"name": "a", "constraints": {"maximum": 3}}]},
            "s: field a: a string has no minimum or maximum",
        ),
        (
            {"fields": [{"name": "a"}], "missingValues": 3},
            "s: expected a list of texts as missingValues, got 3",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(document, fault):
    """A table is not called right by a schema that says nothing."""
    with pytest.raises(UnusableTableSchemaError) as caught:
        TableSchema.from_dict(document, "s")
    assert str(caught.value) == fault


def test_dates_have_limits_too():
    """They compare as texts, which is their order in time."""
    field = {"name": "day", "type": "date", "constraints": {"minimum": "2024-01-01", "maximum": "2024-12-31"}}
    assert check("day\n2023-12-31\n2024-06-01\n2025-01-01\n", schema={"fields": [field]}) == [
        '0, line 2, column day: expected at least 2024-01-01, got "2023-12-31"',
        '0, line 4, column day: expected at most 2024-12-31, got "2025-01-01"',
    ]
