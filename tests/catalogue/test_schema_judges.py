"""What is asked first whether a document follows its schema, held to jsonschema, which names the faults."""

import copy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.documents import InvalidDocumentError, NewerFormatError, internal_validator, validate
from opendata_pkg.strict_yaml import load_yaml

HEX = "0123456789abcdef" * 4
RELEASE = {
    "version": "1.0.0",
    "date": "2024-01-01T00:00:00Z",
    "index": "releases/1.0.0/index.json",
    "sha256": HEX,
    "snapshot": HEX,
    "catalogue": HEX,
    "commit": HEX[:40],
}
COUNTS = ("time", "files", "bytes", "unknown_sizes", "undigested", "subtree_files", "subtree_bytes")
DATASET = {
    "name": "rat",
    "id": "0b1a2c3d-0b1a-0b1a-0b1a-0b1a2c3d4e5f",
    "parent": None,
    "commit": HEX[:40],
    "annex_commit": HEX[:40],
    "changed": True,
    "artefacts": "releases/1.0.0/rat/",
    "descriptor": f"sha256:{HEX}",
    "grades": {"fixed": 1, "verifiable": 0, "versioned": 0, "mutable": 0},
    "content_digest": f"sha256:{HEX}",
    "subtree_digest": f"sha256:{HEX}",
    **dict.fromkeys((*COUNTS, "subtree_undigested", "borrowed_urls"), 3),
}
CATALOGUE = """\
format: 1
id: example
epoch: "2024-01-01T00:00:00Z"
store: https://example.org/store/
kinds: {slices: Thin ones.}
media_types: {nrrd: application/x-nrrd}
ignore: [{prefix: tmp/, reason: scratch}]
licenses: [{name: CC-BY-4.0, path: "https://creativecommons.org/licenses/by/4.0/"}, {path: "https://example.org/x"}]
contributors: [{title: A. B., roles: [creator], email: a@example.org}]
branches:
  Rat: {keywords: [rat], branches: {Cortex: {title: Cortex}, Other: null}}
"""
DOCUMENTS = {
    "store-index": {
        "format": 1,
        "catalogue": "example",
        "releases": [RELEASE, RELEASE | {"packs": {"path": "releases/1.0.0/packs.json", "sha256": HEX}}],
    },
    "pack-list": {
        "format": 1,
        "repositories": {"rat": {f"pack-{HEX[:40]}": {name: {"bytes": 3, "sha256": HEX} for name in ("pack", "idx")}}},
    },
    "release-index": {
        "format": 1,
        "version": "1.0.0",
        "snapshot": HEX,
        "catalogue": {"id": "example", "sha256": HEX},
        "complete": True,
        "left_out": {"scratch": 2},
        "datasets": {".": DATASET, "Rat": DATASET | {"parent": "rat", "descriptor": None}},
    },
    "snapshot-header": {
        "format": 1,
        "id": HEX,
        "objects": 0,
        "bytes": 0,
        "unknown_sizes": 0,
        "source": "s3://example",
        "method": "ListObjectsV2",
        "base_url": "https://example.org/",
        "as_of": None,
        "started": "2024-01-01T00:00:00.123456+01:00",
        "prefixes": ["a"],
        "etags_are_md5": False,
    },
    "catalogue": load_yaml(CATALOGUE.encode(), "catalogue.yaml").value,
    "s3-inventory-manifest": {
        "sourceBucket": "example",
        "destinationBucket": "arn:aws:s3:::lists",
        "version": "2016-11-30",
        "creationTimestamp": "1700000000000",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key",
        "files": [{"key": "a.csv.gz", "size": 3, "MD5checksum": HEX[:32]}],
    },
}
_ODD = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        3.0,
        1.5,
        "",
        "x",
        "../x",
        "https://example.org/a b",
        "http://[::1]/",
        "a@b",
        [],
        {},
        ["a", "a"],
        [{}, {}],
        {"name": "x"},
        "2024-02-30T00:00:00Z",
        "2024-01-01",
        HEX,
        HEX[:40],
        f"sha256:{HEX}\n",
        "1.0.0",
        "1.0.0\n",
        "x\ny",
        "2024-01-01T24:00:00Z",
        "0000-01-01T00:00:00Z",
        "2024-01-01T00:00:60Z",
        "�",
        10**30,
    ]
)


def _parts(value):
    """All dicts and lists in a value, itself first."""
    if isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _parts(item)


@st.composite
def _edited(draw):
    """A document that has been edited by hand, in up to three places, and the schema that it should follow."""
    name = draw(st.sampled_from([*DOCUMENTS]))
    document = copy.deepcopy(DOCUMENTS[name])
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from([*_parts(document)]))
        if isinstance(part, list):
            part.append(copy.deepcopy(draw(_ODD | st.sampled_from(part or [None]))))
        elif draw(st.booleans()) and part:
            del part[draw(st.sampled_from([*part]))]
        else:
            part[draw(st.sampled_from([*part, "path", "more", "More Of", ""]))] = copy.deepcopy(draw(_ODD))
    return name, document


def _is_taken(name, document):
    try:
        validate(document, name, where="a document")
    except (InvalidDocumentError, NewerFormatError):
        return False
    return True


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_right_passes(name):
    """A document without a fault is taken by both."""
    assert internal_validator(name).is_valid(DOCUMENTS[name])
    assert _is_taken(name, DOCUMENTS[name])


@settings(max_examples=500)
@given(_edited())
@example(("store-index", {"format": True, "catalogue": "example", "releases": []}))
@example(("store-index", []))
@example(("catalogue", None))
@example(("snapshot-header", DOCUMENTS["snapshot-header"] | {"started": "2016-12-31T23:59:60Z"}))
def test_what_passes_is_right(edited):
    """Whatever is taken at once follows the schema also by jsonschema, which `opendata validate` goes by."""
    name, document = edited
    if _is_taken(name, document):
        assert internal_validator(name).is_valid(document)
