"""Pages of a bucket's listing, as botocore gets them and as this package reads them.

botocore takes several times as long to make dictionaries of a page as reading it does, and sorts versions and delete
markers into two lists, so that one could not tell which of two entries of one second came first: Amazon lists "the most
recently stored first", but dates entries to the second. So entries are taken out of a page before botocore parses the
rest; its requests, retries, tokens and errors stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from botocore.exceptions import ClientError

from opendata_pkg.listing.bucket import NotS3Error, error_status
from opendata_pkg.listing.entries import Entries, take_entries
from opendata_pkg.model import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from opendata_pkg.listing.bucket import Bucket

_ENTRIES = "OpendataEntries"
_ROOTS = {"ListObjectsV2": b"<ListBucketResult", "ListObjectVersions": b"<ListVersionsResult"}
_ROOT_WITHIN_BYTES = 1000
_OK_STATUS, _BROKEN_STATUS = 200, 500
# "Bad Request", and "Not Implemented".
_BAD_MARKER_STATUSES = {400, 501}
_BROKEN = b"<Error><Code>IncompleteBody</Code><Message>the connection broke while it was sent</Message></Error>"
# What a page calls the place where it ends, and how the next one is asked for.
_MARKERS = {
    False: {"NextContinuationToken": "ContinuationToken"},
    True: {"NextKeyMarker": "KeyMarker", "NextVersionIdMarker": "VersionIdMarker"},
}


class BadMarkerError(SourceError):
    """The server does not go on from where it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries in the server's order; with a delimiter, the prefixes up to it; parameters that ask for the next page.

    `following` is None where no page follows.
    """

    entries: Entries
    folders: tuple[str, ...]
    following: dict[str, str] | None


def get_page(
    bucket: Bucket,
    prefix: str,
    *,
    with_versions: bool,
    delimiter: str = "",
    after: dict[str, str] | None = None,
) -> Page:
    """A page of everything below a prefix, or of the folder that it is; of a bucket that is watched (`watch`).

    `after` is what a page of the same listing said of what follows it, or `after_key`.

    Raises:
        BadMarkerError: the server does not go on from `after`.
        SourceError: as `Bucket.explain` says; after retries with growing delays, also where S3 says SlowDown.
    """
    ask: Any = bucket.client.list_object_versions if with_versions else bucket.client.list_objects_v2
    request = {"Bucket": bucket.name, "Prefix": prefix, **({"Delimiter": delimiter} if delimiter else {})}
    with bucket.errors_in_words():
        try:
            answer = ask(**request, **(after or {}))
        except ClientError as error:
            if after and error_status(error) in _BAD_MARKER_STATUSES:
                raise BadMarkerError(f"{bucket.where} does not go on after {after} ({error})") from error
            raise
    if _ENTRIES not in answer:
        # botocore takes any answer from 200 to 299 for a list, and `watch` looks at no other than 200.
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        raise NotS3Error(bucket.where, f"its answer to a request for a list of objects is HTTP {status}, not 200")
    return Page(
        entries=answer[_ENTRIES],
        folders=tuple(folder["Prefix"] for folder in answer.get("CommonPrefixes", ())),
        following=_following(bucket, answer, with_versions=with_versions),
    )


def after_key(key: str, *, with_versions: bool) -> dict[str, str]:
    """What asks for the keys that come after one, which need not be there."""
    return {"KeyMarker" if with_versions else "StartAfter": key}


def list_pages(bucket: Bucket, prefix: str, *, with_versions: bool, delimiter: str = "") -> Generator[Page, None, None]:
    """All pages, one after the other; errors are those of `get_page`."""
    page = get_page(bucket, prefix, with_versions=with_versions, delimiter=delimiter)
    yield page
    while page.following is not None:
        page = get_page(bucket, prefix, with_versions=with_versions, delimiter=delimiter, after=page.following)
        yield page


def _following(bucket: Bucket, answer: dict[str, Any], *, with_versions: bool) -> dict[str, str] | None:
    found = {name: answer[key] for key, name in _MARKERS[with_versions].items() if answer.get(key)}
    # A server that leaves out whether more follows, and says how to ask for it, has more.
    if not answer.get("IsTruncated", bool(found)):
        return None
    if not found:
        raise NotS3Error(bucket.where, "it says that a page of its list follows, but not how to ask for it")
    return found


def watch(bucket: Bucket) -> None:
    """Look at the pages that a bucket's client gets, where botocore does not look or forgets."""
    events = bucket.client.meta.events
    check, take = _root_check(bucket), _entry_taker(bucket)
    for operation in _ROOTS:
        events.register(f"response-received.s3.{operation}", check, unique_id=f"opendata-root-{operation}")
        # With a `*`, since botocore's own handler, which parses the whole body to look for an error in it, is of
        # `before-parse.s3.*`: what matches by an earlier `*` comes first.
        events.register_first(f"before-parse.*.{operation}", take, unique_id=f"opendata-entries-{operation}")


def _root_check(bucket: Bucket) -> Callable[..., None]:
    def check_root(response_dict: dict[str, Any] | None, event_name: str, **_: object) -> None:
        # botocore takes any XML for a list (of nothing), and what is no XML for a reason to ask nine times more.
        if response_dict is None or response_dict["status_code"] != _OK_STATUS:
            return
        if len(response_dict["body"]) < int(response_dict["headers"].get("Content-Length", 0)):
            # Cut short by a broken connection: botocore cannot parse it, and asks again.
            return
        operation, beginning = event_name.rpartition(".")[2], response_dict["body"][:_ROOT_WITHIN_BYTES]
        if _ROOTS[operation] not in beginning and b"<Error" not in beginning:
            raise NotS3Error(bucket.where, f"its answer to {operation} is no list of objects")

    return check_root


def _entry_taker(bucket: Bucket) -> Callable[..., None]:
    def take(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
        if response_dict["status_code"] != _OK_STATUS:
            return
        if len(response_dict["body"]) < int(response_dict["headers"].get("Content-Length", 0)):
            # An answer that broke off, which botocore takes for a list of nothing if it did so at once: ask again.
            response_dict.update(status_code=_BROKEN_STATUS, body=_BROKEN)
            return
        try:
            customized_response_dict[_ENTRIES], response_dict["body"] = take_entries(response_dict["body"])
        except ET.ParseError:
            # botocore asks again, and says so if that does not help.
            return
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise NotS3Error(bucket.where, f"its list of objects has an entry that cannot be read ({error})") from error

    return take
