"""JSON documents, their schemas, and what a person is told when one is broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.documents import (
    FORMAT,
    InvalidDocumentError,
    NewerFormatError,
    dump_json,
    read_json,
    shipped,
    validate,
)

HEADER = {
    "format": 1,
    "id": "0" * 64,
    "objects": 0,
    "bytes": 0,
    "unknown_sizes": 0,
    "source": "s3://example",
    "method": "ListObjectsV2",
    "base_url": "https://example.s3.amazonaws.com/",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_written_reads_back(value):
    """Any JSON value comes back as it was."""
    assert json.loads(dump_json(value)) == value


def test_json_is_written_one_way():
    """Two spaces, letters as letters, keys in the order given, a final newline."""
    assert dump_json({"b": ["é"], "a": 1}) == '{\n  "b": [\n    "é"\n  ],\n  "a": 1\n}\n'


def test_numbers_that_json_lacks_are_refused():
    """NaN never gets into a document: other readers would choke on it."""
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"size": float("nan")})


def test_a_broken_file_is_named(tmp_path):
    """A document cut short gives a sentence with its path, and the status of bad input."""
    path = tmp_path / "header.json"
    path.write_text(dump_json(HEADER)[:30])
    with pytest.raises(InvalidDocumentError, match="expected a JSON document") as caught:
        read_json(path, "snapshot-header")
    assert str(caught.value).startswith(f"{path}: at $: ")
    assert caught.value.exit_status == 3


def test_a_fault_is_named_with_its_place():
    """A value of a wrong type is named with the path to it."""
    with pytest.raises(InvalidDocumentError) as caught:
        validate({**HEADER, "objects": "many"}, "snapshot-header", where="header.json")
    assert str(caught.value) == "header.json: at $.objects: 'many' is not of type 'integer'"


def test_a_newer_format_says_what_to_do():
    """A document of a later opendata is not misread but named as such, with the way out."""
    newer = {"format": FORMAT + 1, "anything": True}
    with pytest.raises(NewerFormatError, match=r"reads up to 1\..*pip install --upgrade opendata-pkg") as caught:
        validate(newer, "snapshot-header", where="header.json")
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("path", sorted((shipped("schemas") / "internal").glob("*.json")), ids=lambda path: path.name)
def test_every_schema_says_what_it_is(path):
    """Each schema has an id, so that others can refer to it, a draft, a title and a description of its document."""
    schema = json.loads(path.read_bytes())
    assert schema["$id"] == f"urn:opendata:schema:{FORMAT}:{path.stem}"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"title", "description"} <= set(schema)
