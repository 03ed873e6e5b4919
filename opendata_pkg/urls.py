"""Where an object is on the web: the exact URL of a key, and the key of a URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urlsplit

from opendata_pkg.model import InputError, ObjectKey, UsageError, VersionId, is_real_version

if TYPE_CHECKING:
    import pyarrow as pa

# AWS partitions whose host names do not end in amazonaws.com.
_SUFFIXES = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}
# A bucket name that is one DNS label: with a dot in it the host would not match Amazon's TLS certificate, and the
# upper-case and `_` names that old buckets of us-east-1 have are no host names at all.
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_REGION = re.compile(r"[a-z0-9-]+")
# RFC 3986's unreserved characters, and the slashes between components: all that a key's URL may hold unencoded.
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")
_RESERVED = re.compile(r"[^A-Za-z0-9._~/-]")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
# All that a key's URL may not hold unencoded.
_ODD_BYTES = bytes(byte for byte in range(256) if not _PLAIN.fullmatch(chr(byte)))
_RARE_BYTES = _ODD_BYTES.replace(b" ", b"")
_DOTS = re.compile(r"(?<![^/])\.\.?(?![^/])")
_ENCODED_PATH = re.compile(r"(?:[A-Za-z0-9._~/-]|%[0-9A-Fa-f]{2})*")
_AWS_BASE = re.compile(
    r"https://(?:(?P<hosted>[a-z0-9-]+)\.)?s3\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu)/"
    r"(?:(?P<path>[A-Za-z0-9._-]+)/)?"
)
_VERSION_QUERY = "versionId="
_QUERY = re.compile(rf"{_VERSION_QUERY}[^&#?]+")


class NotAnObjectUrlError(InputError):
    """A text is not the URL of an object below a base URL."""


def base_url(bucket: str, region: str | None, endpoint_url: str | None = None) -> str:
    """The URL, ending in `/`, that a bucket's percent-encoded keys are appended to.

    AWS addresses are virtual-hosted, or in path style where the bucket's name cannot be part of a host name; those of
    other S3 servers are in path style, which all of them understand.

    Raises:
        UsageError: the names cannot be part of a URL, or there is neither a region nor an endpoint.
    """
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"expected a bucket's name, of letters, digits, `.`, `-` and `_`, got {bucket!r}")
    if endpoint_url is not None:
        return f"{check_http_url(endpoint_url).rstrip('/')}/{bucket}/"
    if region is None or not _REGION.fullmatch(region):
        raise UsageError(
            f"expected the AWS region of bucket {bucket}, such as us-west-2, got {region!r}: "
            "give --region, or --base-url for a server other than AWS"
        )
    suffix = _SUFFIXES.get(region.partition("-")[0], "amazonaws.com")
    if _DNS_LABEL.fullmatch(bucket):
        return f"https://{bucket}.s3.{region}.{suffix}/"
    return f"https://s3.{region}.{suffix}/{bucket}/"


def aws_bucket(base: str) -> tuple[str, str] | None:
    """The bucket and region that a base URL made by `base_url` names; None if it is not Amazon's."""
    match = _AWS_BASE.fullmatch(base)
    if match is None or (match["hosted"] is None) == (match["path"] is None):
        return None
    return match["hosted"] or match["path"], match["region"]


def check_http_url(url: str) -> str:
    """The URL of a server or folder as it was given, if keys can be appended to it.

    Raises:
        UsageError: it is no http(s) URL with a host, or has a query, fragment, user name or space.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        fits = fits and parts.port != 0 and not re.search(r"[?#\s\x00-\x20\x7f]", url)
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            "expected a URL such as https://data.example.org/files/, without `?`, `#`, spaces or a user name, "
            f"got {url!r}"
        )
    return url


def object_url(base: str, key: ObjectKey, version_id: VersionId | None) -> str:
    """The URL of an object: `base`, the key's UTF-8 percent-encoded, and its version where it has a real one.

    Only RFC 3986's unreserved characters and `/` stand as they are, so that `+` never reads as a space. The dots of
    components `.` and `..` are encoded: clients would otherwise resolve them away (RFC 3986, section 5.2.4).
    """
    path: str = key if _PLAIN.fullmatch(key) else _RESERVED.sub(_encode_character, key)
    if "./" in path or path.endswith("."):
        path = _DOTS.sub(_encode_dots, path)
    if version_id is None or not is_real_version(version_id):
        return base + path
    query = version_id if _UNRESERVED.fullmatch(version_id) else quote(version_id, safe="")
    return f"{base}{path}?{_VERSION_QUERY}{query}"


def object_urls(base: str, keys: pa.Array, version_ids: pa.Array) -> pa.Array:
    """`object_url` of every key with its version."""
    from opendata_pkg.columns.arrays import joined  # noqa: PLC0415 - a release is published without any, and not kept waiting

    return joined(*url_parts(base, keys, version_ids))


def url_parts(base: str, keys: pa.Array, version_ids: pa.Array) -> tuple[pa.Array | str, ...]:
    """What `object_urls` joins, in bulk where nothing but blanks is to be encoded: for those who join more to it."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    from opendata_pkg.columns.arrays import hold_any, holds, joined, replace_where  # noqa: PLC0415

    # Most keys hold nothing that takes thought, which all of them together tell far quicker than each.
    if hold_any(keys, _RARE_BYTES) or holds(keys, b"/.") or pc.any(pc.starts_with(keys, ".")).as_py():
        # Two letters after the last slash are enough of a key to see whether a component is `.` or `..`.
        odd = pc.match_substring_regex(keys, r"[^ A-Za-z0-9._~/-]|(?:^|/)\.\.?(?:/|$)")
        paths = replace_where(keys, odd, lambda key: object_url("", ObjectKey(key), None))
        paths = pc.if_else(odd, paths, pc.replace_substring(paths, " ", "%20"))
    else:
        paths = pc.replace_substring(keys, " ", "%20") if holds(keys, b" ") else keys
    real = pc.fill_null(pc.not_equal(version_ids, "null"), fill_value=False)
    if not real.true_count:
        return base, paths
    versions = pc.fill_null(version_ids, "")
    if hold_any(versions, _ODD_BYTES + b"/"):
        versions = replace_where(
            versions, pc.match_substring_regex(versions, r"[^A-Za-z0-9._~-]"), lambda text: quote(text, safe="")
        )
    if real.true_count == len(real):
        return base, paths, f"?{_VERSION_QUERY}", versions
    return base, paths, pc.if_else(real, joined(f"?{_VERSION_QUERY}", versions), "")


def parse_object_url(base: str, url: str) -> tuple[ObjectKey, VersionId | None]:
    """The inverse of `object_url`: the key and the versionId that a URL below `base` names.

    Raises:
        NotAnObjectUrlError: the URL is not below `base`, is not percent-encoded UTF-8, or asks for something else.
    """
    if not url.startswith(base):
        raise NotAnObjectUrlError(f"expected a URL below {base}, got {url}")
    path, mark, query = url[len(base) :].partition("?")
    if not _ENCODED_PATH.fullmatch(path) or (mark and not _QUERY.fullmatch(query)):
        raise NotAnObjectUrlError(
            f"expected {base} followed by a percent-encoded key and at most ?versionId=…, got {url}"
        )
    try:
        key = unquote_to_bytes(path).decode()
        version_id = unquote_to_bytes(query.removeprefix(_VERSION_QUERY)).decode()
    except UnicodeDecodeError as error:
        raise NotAnObjectUrlError(f"expected percent-encoded UTF-8 in {url}: {error}") from error
    return ObjectKey(key), VersionId(version_id) if mark else None


class _Encodings(dict[str, str]):
    """Characters and their percent-encodings, as they come up: three times as fast as `quote` on real keys."""

    def __missing__(self, character: str) -> str:
        encoded = self[character] = quote(character, safe="")
        return encoded


_ENCODINGS = _Encodings()


def _encode_character(match: re.Match[str]) -> str:
    return _ENCODINGS[match[0]]


def _encode_dots(match: re.Match[str]) -> str:
    return match[0].replace(".", "%2E")
