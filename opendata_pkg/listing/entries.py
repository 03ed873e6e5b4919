"""The entries of a page of a bucket's listing: XML in, columns out. No network.

A page is most of what a listing costs a processor. Nearly all pages are written alike, so one regular expression takes
the entries out, column by column, three times as fast as an XML parser makes elements of them. What it does not know
for certain to be the same in XML (another encoding, a comment, an element in an element) is parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.listing.bucket import parse_s3_time
from opendata_pkg.listing.versions import ENTRY_SCHEMA
from opendata_pkg.snapshot.check import impossible_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_TAGS = ("Contents", "Version", "DeleteMarker")
# In Amazon's order, which is tried first; any other will do.
_FIELDS = ("Key", "VersionId", "IsLatest", "LastModified", "ETag", "Size", "StorageClass")
_TEXT = "[^<]*+"
_ENTRY = re.compile(
    f"<({'|'.join(_TAGS)})>(?:"
    + "|".join(f"<{name}>({_TEXT})</{name}>" for name in _FIELDS)
    + rf"|<Owner>(?:<ID>{_TEXT}</ID>|<DisplayName>{_TEXT}</DisplayName>)*+</Owner>"
    # Others are skipped, such as ChecksumAlgorithm, which may stand there more than once.
    + rf"|<(\w+)>{_TEXT}</\{len(_FIELDS) + 2}>"
    + r")*+</\1>"
)
# `split` gives what is between two matches, then the groups of the second.
_STRIDE = _ENTRY.groups + 1
# What XML does not allow, and the carriage return, which it reads as another character.
_CONTROLS = bytes({*range(32)} - {*b"\t\n"})

# As many as a whole number of Arrow's holds, whatever they are.
_SIZE_DIGITS = 18

_Texts = list["str | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Entries of a page in the server's order, in the columns of `ENTRY_SCHEMA`; `keys` are those of its column."""

    keys: Sequence[str]
    table: pa.Table


NO_ENTRIES = Entries(keys=(), table=ENTRY_SCHEMA.empty_table())
"""What a page has where there are none."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Entries as texts: their tags, and a column for each of `_FIELDS`; and the rest of the page.

    `is_encoded`: keys are URL-encoded, since XML cannot hold every key. botocore asks for it; not every server does it.
    """

    tags: Sequence[str]
    columns: Sequence[_Texts]
    rest: bytes
    is_encoded: bool


def take_entries(body: bytes) -> tuple[Entries, bytes]:
    """The entries of a page, and the page without them.

    Raises:
        ET.ParseError: it is no XML.
        ValueError: an entry has no key, or a size or time that no object has. UnicodeDecodeError: its key is no UTF-8.
    """
    found = _by_pattern(body) or _by_parser(body)
    return _typed(found) if found.tags else NO_ENTRIES, found.rest


def _by_pattern(body: bytes) -> _Found | None:
    """The entries, if it is certain that a parser would find the same."""
    if not body.isascii() or len(body.translate(None, _CONTROLS)) < len(body):
        return None
    parts = _ENTRY.split(body.decode("ascii"))
    rest = "".join(parts[::_STRIDE]).encode("ascii")
    if b"<!" in rest:
        return None
    root = ET.fromstring(rest)  # noqa: S314 - botocore's own parser
    if any(_name(element) in _TAGS for element in root):
        return None
    tags, *columns = (parts[place::_STRIDE] for place in range(1, len(_FIELDS) + 2))
    place = _FIELDS.index("ETag")
    # No text holds a `<`. ETags stand in quotes, which are escaped, and which nothing else has.
    etags = "<".join(text or "" for text in columns[place])
    columns[place] = etags.replace("&quot;", '"').replace("&#34;", '"').split("<")
    if any("&" in "".join(filter(None, column)) for column in columns):
        return None
    return _Found(tags, columns, rest, _is_encoded(root))


def _by_parser(body: bytes) -> _Found:
    """The entries, as XML says; not those in another namespace than the page's own."""
    root = ET.fromstring(body)  # noqa: S314 - botocore's own parser
    namespace = root.tag[: root.tag.find("}") + 1]
    tags = {namespace + tag: tag for tag in _TAGS}
    entries: list[ET.Element] = []
    others: list[ET.Element] = []
    for element in root:
        (entries if element.tag in tags else others).append(element)
    root[:] = others
    fields = [{child.tag: child.text for child in entry} for entry in entries]
    columns = [[texts.get(namespace + name) for texts in fields] for name in _FIELDS]
    return _Found([tags[entry.tag] for entry in entries], columns, ET.tostring(root), _is_encoded(root))


def _is_encoded(root: ET.Element) -> bool:
    return any(_name(element) == "EncodingType" and element.text == "url" for element in root)


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _typed(found: _Found) -> Entries:
    key, version, is_latest, time, etag, size, storage_class = found.columns
    tags = found.tags
    keys = _keys(key, is_encoded=found.is_encoded)
    columns = {
        "key": keys,
        "version_id": [None if tag == "Contents" else text or "null" for tag, text in zip(tags, version, strict=True)],
        "size": _sizes(
            keys, [text if text and tag != "DeleteMarker" else None for tag, text in zip(tags, size, strict=True)]
        ),
        "etag": [(text and text.strip('"')) or None for text in etag],
        "last_modified": _times(keys, time),
        "storage_class": [text or None for text in storage_class],
        "is_latest": [tag == "Contents" or text == "true" for tag, text in zip(tags, is_latest, strict=True)],
        "is_marker": [tag == "DeleteMarker" for tag in tags],
    }
    table = pa.table(columns, schema=ENTRY_SCHEMA)
    if (fault := impossible_number(table)) is not None:
        raise ValueError(f"expected {fault[0]}, got {fault[1]}")
    return Entries(keys=keys, table=table)


def _keys(texts: _Texts, *, is_encoded: bool) -> list[str]:
    keys = [text for text in texts if text]
    if len(keys) < len(texts):
        raise ValueError("it has no key")
    if not is_encoded:
        return keys
    return [unquote_plus(key, errors="strict") if "%" in key or "+" in key else key for key in keys]


def _sizes(keys: Sequence[str], texts: _Texts) -> pa.Array:
    sizes = pa.array(texts, pa.string())
    # Arrow, as Python, takes more for a number than S3 writes.
    is_size = pc.and_(pc.ascii_is_decimal(sizes), pc.less_equal(pc.binary_length(sizes), _SIZE_DIGITS))
    if not pc.all(is_size, min_count=0).as_py():
        row = pc.index(is_size, value=False).as_py()
        raise ValueError(f"expected a size in bytes, got {texts[row]!r} for {keys[row]!r}")
    return sizes.cast(ENTRY_SCHEMA.field("size").type)


def _times(keys: Sequence[str], texts: _Texts) -> pa.Array | list[datetime | None]:
    """Times, all at once where they are in S3's own form."""
    try:
        return pa.array(texts, pa.string()).cast(ENTRY_SCHEMA.field("last_modified").type)
    except pa.ArrowInvalid:
        return [_time(key, text) if text else None for key, text in zip(keys, texts, strict=True)]


def _time(key: str, text: str) -> datetime:
    try:
        return parse_s3_time(text)
    except (ValueError, OverflowError, RuntimeError) as error:
        # botocore takes any number for seconds, and says in several ways that there is no such time.
        raise ValueError(f"expected a time, got {text!r} for {key!r}") from error
