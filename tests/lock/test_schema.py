"""The schemas of locks and selections: what they take, what they refuse, and the message that one gets."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from opendata_pkg.documents import InvalidDocumentError, internal_validator, shipped, validate

SELECTION = {
    "format": 1,
    "branch": "Experimental_Data",
    "version": "2026.1.0",
    "rules": {"include": ["*.swc"], "smaller": 1000},
    "files": 2,
    "bytes": 1234,
    "digest": f"sha256:{'0' * 64}",
}
LOCK = {
    "format": 1,
    "selections": {
        "cells": {
            "branch": ".",
            "version": None,
            "rules": {},
            "source": "s3://openbluebrain/Experimental_Data",
            "snapshot": "1" * 64,
            "digest": f"sha256:{'2' * 64}",
            "licenses": ["CC-BY-4.0"],
            "citation": "Blue Brain Project: Blue Brain Open Data.",
        }
    },
    "files": [
        {
            "selection": "cells",
            "path": "Experimental_Data/a b..c/cell.swc",
            "bytes": 3,
            "sha256": "3" * 64,
            "urls": ["https://example.org/cell.swc?versionId=1"],
            "version_id": "1",
            "grade": "fixed",
        }
    ],
}


def test_examples_are_taken():
    """A selection of a store and a lock straight from a bucket are valid as they stand."""
    validate(SELECTION, "selection", where="selection")
    validate(LOCK, "lock", where="opendata.lock")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("branch", "A@1.0.0", r"at \$\.branch: 'A@1.0.0' does not match"),
        ("version", "1.0", r"at \$\.version: '1.0' does not match"),
        ("files", 0, r"at \$\.files: 0 is less than the minimum of 1"),
        ("digest", "0" * 64, r"at \$\.digest: .* does not match"),
        ("rules", {"include": []}, r"at \$\.rules\.include: \[\] should be non-empty"),
        ("rules", {"path": "/etc"}, r"at \$\.rules\.path: '/etc' does not match"),
        ("rules", {"bigger": 3}, r"at \$\.rules: Additional properties are not allowed \('bigger' was unexpected\)"),
    ],
)
def test_selections_that_are_refused(field, value, message):
    """Each fault of a selection is named with its place."""
    with pytest.raises(InvalidDocumentError, match=message):
        validate(SELECTION | {field: value}, "selection", where="selection")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("path", "/etc/passwd", r"at \$\.files\[0\]\.path: '/etc/passwd' does not match"),
        ("path", "a/../../b", r"at \$\.files\[0\]\.path: 'a/\.\./\.\./b' does not match"),
        ("path", "..", r"at \$\.files\[0\]\.path: '\.\.' does not match"),
        ("path", "a\\b", r"at \$\.files\[0\]\.path"),
        ("sha256", "abc", r"at \$\.files\[0\]\.sha256: 'abc' does not match"),
        ("urls", [], r"at \$\.files\[0\]\.urls: \[\] should be non-empty"),
        ("urls", ["s3://bucket/key"], r"at \$\.files\[0\]\.urls\[0\]: 's3://bucket/key' does not match"),
        ("grade", "good", r"at \$\.files\[0\]\.grade: 'good' is not one of"),
        ("bytes", 10**40, r"at \$\.files\[0\]\.bytes: 1000000+ is greater than the maximum of 9223372036854775807"),
        ("bytes", -1, r"at \$\.files\[0\]\.bytes: -1 is less than the minimum of 0"),
    ],
)
def test_locks_that_are_refused(field, value, message):
    """A lock edited by hand gets the place of the fault: above all, no path may lead out of its folder."""
    lock = copy.deepcopy(LOCK)
    lock["files"][0][field] = value
    with pytest.raises(InvalidDocumentError, match=message):
        validate(lock, "lock", where="opendata.lock")


def test_a_stock_tool_takes_the_schema_as_it_is(tmp_path):
    """check-jsonschema judges a lock by the file alone, offline: whoever has no opendata has nothing else."""
    schema = shipped("schemas") / "internal" / "lock.json"
    for name, lock, status in (("good", LOCK, 0), ("bad", LOCK | {"files": [{}]}, 1)):
        (tmp_path / f"{name}.lock").write_text(json.dumps(lock))
        command = [sys.executable, "-m", "check_jsonschema", "--schemafile", schema, tmp_path / f"{name}.lock"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == status


def test_locks_say_of_selections_what_selections_say():
    """The parts that both schemas have are the same."""
    lock, selection = (internal_validator(name).schema["$defs"] for name in ("lock", "selection"))
    assert {name: lock[name] for name in selection} == selection
