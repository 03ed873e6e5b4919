"""Pages of a listing as columns: whichever way they are read, and whatever a server writes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.listing.entries import take_entries
from opendata_pkg.listing.versions import ENTRY_SCHEMA

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
TEXTS = st.text(st.sampled_from([*"ab%20+/&<\"'é \n\t\r]>"]), max_size=6)


def page(items, head="<EncodingType>url</EncodingType>"):
    """A page with such entries."""
    return f"<ListBucketResult {XMLNS}>{head}{items}</ListBucketResult>".encode()


def parsed(body):
    """The same page with a comment in it, which only an XML parser understands."""
    return body.replace(b"</ListBucketResult>", b"<!-- --></ListBucketResult>")


def read(body):
    """The rows of a page, or what is wrong with it."""
    try:
        entries, rest = take_entries(body)
    except (ValueError, ET.ParseError) as error:
        return type(error)
    assert list(entries.keys) == entries.table["key"].to_pylist()
    assert entries.table.schema == ENTRY_SCHEMA
    assert not any(f"<{tag}>".encode() in rest for tag in ("Contents", "Version", "DeleteMarker"))
    return entries.table.to_pylist(), [element.text for element in ET.fromstring(rest)]  # noqa: S314 - made here


def element(name, text):
    """An element, as servers write it."""
    return f"<{name}>{escape(text, {chr(34): '&quot;', chr(13): '&#13;'})}</{name}>"


ELEMENTS = st.one_of(
    st.tuples(st.sampled_from(["Key", "VersionId", "StorageClass", "ChecksumAlgorithm"]), TEXTS),
    st.tuples(st.just("ETag"), st.sampled_from(['"abc"', "abc", '"d-2"', "", '"'])),
    st.tuples(st.just("Size"), st.sampled_from(["0", "17", "", "one", " 5", "-5"])),
    st.tuples(st.just("LastModified"), st.sampled_from(["2024-01-02T03:04:05.678Z", "2024-01-02T03:04:05+01:00", "x"])),
    st.tuples(st.just("IsLatest"), st.sampled_from(["true", "false"])),
).map(lambda pair: element(*pair)) | st.sampled_from(
    [
        "<Owner><ID>o</ID><DisplayName>of it</DisplayName></Owner>",
        "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>",
        "<StorageClass/>",
        "<Size unit='B'>4</Size>",
        " ",
    ]
)
ENTRIES = st.builds(
    "<{0}>{1}</{0}>".format,
    st.sampled_from(["Contents", "Version", "DeleteMarker"]),
    st.lists(ELEMENTS, max_size=4).map(lambda items: "<Key>k%20y</Key>" + "".join(items)) | ELEMENTS,
)


@given(
    st.lists(ENTRIES | st.just("<CommonPrefixes><Prefix>f/</Prefix></CommonPrefixes>"), max_size=5).map("".join),
    st.sampled_from(["<EncodingType>url</EncodingType>", "", "<IsTruncated>true</IsTruncated>\n"]),
)
def test_entries_are_those_that_a_parser_finds(items, head):
    """Elements in any order, twice or missing, escaped, empty, nested, with spaces between them: as XML says."""
    body = page(items, head)
    assert read(body) == read(parsed(body))


@pytest.mark.parametrize("fault", ["&", "&nbsp;", "\x01", "<Key>", "</Contents>", "\udcff", "<b>"])
def test_what_is_no_xml_is_none(fault):
    """The server is asked again, rather than half a page be taken for all of it."""
    body = page("<Contents><Key>aFAULT</Key></Contents>")
    assert read(body.replace(b"FAULT", fault.encode(errors="surrogateescape"))) is ET.ParseError


@pytest.mark.parametrize("size", ["-5", "+5", " 5", "1_0", "\u0663", "0x10", "9" * 19, "5.0", "one"])
def test_sizes_that_no_object_has_are_told(size):
    """Also those that Python or Arrow would take for numbers."""
    entry = f"<Contents><Key>f/a%20b</Key><Size>{size}</Size></Contents>"
    with pytest.raises(ValueError, match=r"expected a size in bytes, got '.*' for 'f/a b'"):
        take_entries(page("<Contents><Key>b</Key><Size>1</Size></Contents>" + entry))


@pytest.mark.parametrize(
    ("time", "sentence"),
    [
        ("x", "expected a time, got 'x' for 'a'"),
        ("99999999999999999999", "expected a time, got '99999999999999999999' for 'a'"),
        ("0000-01-01T00:00:00Z", "expected a time of the years 1 to 9999, got -62167219200000000 for 'a'"),
        ("0001-01-01T00:00:00+14:00", "expected a time of the years 1 to 9999, got -621356"),
    ],
)
def test_times_that_no_object_has_are_told(time, sentence):
    """Where the page is read, since a snapshot with them could not be."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        take_entries(page(f"<Contents><Key>a</Key><LastModified>{time}</LastModified></Contents>"))


def test_a_usual_page_is_read_without_a_parser(monkeypatch):
    """Amazon's own entries take none of a parser's time: it gets to see what is left without them."""
    seen = []
    parse = ET.fromstring
    monkeypatch.setattr(ET, "fromstring", lambda text: seen.append(text) or parse(text))
    item = (
        "<Contents><Key>a+b/%C3%A9</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>9</Size>"
        "<Owner><ID>o</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>"
    )
    marker = (
        "<DeleteMarker><Key>z</Key><VersionId>v</VersionId><IsLatest>true</IsLatest>"
        "<LastModified>2024-01-02T03:04:05.000Z</LastModified><Owner><ID>o</ID></Owner></DeleteMarker>"
    )
    rows, _ = read(page(item + marker))
    assert seen[0] == page("")
    when = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert [tuple(row.values()) for row in rows] == [
        ("a b/é", None, 9, "e", when, "STANDARD", True, False),
        ("z", "v", None, None, when, None, True, True),
    ]
