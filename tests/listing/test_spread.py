"""Listing by many prefixes at a time finds what one listing finds: nothing lost, nothing twice."""

from __future__ import annotations

import socket
import struct
import threading
import time
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from botocore import handlers
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.listing.bucket import NotS3Error, open_bucket
from opendata_pkg.listing.checkpoint import NoKeeper
from opendata_pkg.listing.pages import watch
from opendata_pkg.listing.s3 import list_bucket
from opendata_pkg.listing.spread import list_entries
from opendata_pkg.listing.versions import ENTRY_SCHEMA, ChangedWhileListingError
from opendata_pkg.model import SourceError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.scan.scan import scan
from tests.listing.scripted import Answer, ScriptedServer, error

PAGE = 3
PARTS = st.sampled_from(["a", "b", "c+ d", "é", "", "0", "~", "a-", "%41", "\uffee", "\U0001f9e0", "a1", "a2"])
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(bool)
NAMES = st.text(st.sampled_from("01aé+% \U0001f9e0"), min_size=1, max_size=5)
ODD = ["a/b", "a", "a-", "a0", "a+b", "a b", "a%20b", "é/日本", "tab\there", "q?x#y&z=1", "..a/.b", "d/e/f/g"]


def by_folders(key):
    """SeaweedFS's order: a folder's names one by one, each followed by what is in it."""
    return key.split("/")


def by_utf16(key):
    """The order of Java's and JavaScript's texts."""
    return key.encode("utf-16-be")


def backwards(key):
    """An order that nobody expects, as directory buckets may have it."""
    return [-ord(character) for character in key], -len(key)


def listed(keys, request, *, with_versions=False, order=str, start_after="honoured"):
    """A page of a bucket, as Amazon makes it; of other servers, with an order of their own.

    Of versions, each key has a marker and then a version; a page may end between them. `start_after` may be `ignored`
    or `refused`, too.
    """
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    names = ("x", "v") if with_versions else ("",)
    entries = [(key, name) for key in sorted(keys, key=order) for name in names if key.startswith(prefix)]
    after = query.get("key-marker" if with_versions else "start-after")
    position = int(query.get("continuation-token", 0))
    if "version-id-marker" in query:
        position = entries.index((after, query["version-id-marker"])) + 1
    elif after is not None and start_after == "refused":
        return error(400, "InvalidArgument")
    elif after is not None and start_after == "honoured":
        position = sum(order(key) <= order(after) for key, _ in entries)
    items, folders = [], []
    while position < len(entries) and len(items) + len(folders) < PAGE:
        key, version_id = entries[position]
        name, mark, _ = key[len(prefix) :].partition(delimiter or "\0")
        position += 1
        if mark and delimiter:
            folder = prefix + name + delimiter
            if folder not in folders:
                folders.append(folder)
            continue
        fields = f"<Key>{quote_plus(key)}</Key><Size>1</Size>"
        if version_id:
            tag, latest = ("DeleteMarker", "") if version_id == "x" else ("Version", "<IsLatest>true</IsLatest>")
            items.append(f"<{tag}>{fields}<VersionId>{version_id}</VersionId>{latest}</{tag}>")
        else:
            items.append(f"<Contents>{fields}</Contents>")
    while delimiter and folders and position < len(entries) and entries[position][0].startswith(folders[-1]):
        position += 1
    more = "<IsTruncated>false</IsTruncated>"
    if position < len(entries):
        key, version_id = entries[position - 1]
        more = "<IsTruncated>true</IsTruncated>"
        more += (
            f"<NextKeyMarker>{quote_plus(key)}</NextKeyMarker><NextVersionIdMarker>{version_id}</NextVersionIdMarker>"
        )
        more += f"<NextContinuationToken>{position}</NextContinuationToken>"
    items += [f"<CommonPrefixes><Prefix>{quote_plus(folder)}</Prefix></CommonPrefixes>" for folder in folders]
    tag = "ListVersionsResult" if with_versions else "ListBucketResult"
    return Answer(body=f"<{tag}>{more}<EncodingType>url</EncodingType>{''.join(items)}</{tag}>")


class Counting(Reporter):
    """Counts the entries that are taken, before those that come twice are found out."""

    def __init__(self):
        self.count, self._lock = 0, threading.Lock()

    def advance(self, count=1):  # noqa: D102
        with self._lock:
            self.count += count


def keys_of(server, *, jobs, versions="no", reporter=SILENT):
    """The keys that a listing finds, and it."""
    bucket = open_bucket("b", endpoint_url=server.url, connections=jobs)
    listing = list_bucket(bucket, versions=versions, jobs=jobs, reporter=reporter)
    return listing.table["key"].to_pylist(), listing


@pytest.fixture
def quick(monkeypatch):
    """As if answers were long under way, so that as many requests as there may be are of use."""
    monkeypatch.setattr("opendata_pkg.listing.spread._PAGE_S", 1e-9)


def found_by(keys, *, jobs, versions="no", reporter=SILENT, **server_is):
    """What a listing finds on a server of its own, where as many requests as there may be are of use; and the server."""

    def answer(request):
        return listed(keys, request, with_versions="versions" in request.query, **server_is)

    server = ScriptedServer(answer)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("opendata_pkg.listing.spread._PAGE_S", 1e-9)
            return keys_of(server, jobs=jobs, versions=versions, reporter=reporter), server
    finally:
        server.stop()


@settings(max_examples=30)
@given(
    st.one_of(st.sets(KEYS, min_size=1, max_size=40), st.sets(NAMES, min_size=1, max_size=60)),
    st.integers(1, 6),
    st.sampled_from(["no", "yes"]),
)
def test_any_keys_are_found_once_by_any_number_of_jobs(keys, jobs, versions):
    """Folders in folders, empty names, names that begin alike, pages that end anywhere."""
    taken = Counting()
    (found, listing), _ = found_by(keys, jobs=jobs, versions=versions, reporter=taken)
    assert found == sorted(keys)
    assert taken.count == len(keys) * (2 if versions == "yes" else 1)
    assert listing.delete_markers == (len(keys) if versions == "yes" else 0)


@settings(max_examples=30)
@given(
    st.one_of(st.sets(KEYS, min_size=10, max_size=40), st.sets(NAMES, min_size=10, max_size=60)),
    st.sampled_from([str, by_folders, by_utf16, backwards]),
    st.sampled_from(["honoured", "ignored", "refused"]),
    st.sampled_from(["no", "yes"]),
)
def test_any_keys_are_found_once_in_any_order(keys, order, start_after, versions):
    """Servers that list in an order of their own, or do not begin where they are asked to."""
    (found, _), server = found_by(keys, jobs=6, versions=versions, order=order, start_after=start_after)
    assert found == sorted(keys)
    assert len(server.requests) <= 1 + (12 + 2 * len(keys)) * (2 if versions == "yes" else 1)


@pytest.mark.parametrize("versions", ["no", "yes"])
def test_one_large_folder_is_listed_by_many_requests(versions):
    """A folder is no longer one chain of pages: those of most of its keys are asked for while another is under way."""
    keys = [f"flat/cell-{number:04d}.swc" for number in range(600)]
    (found, _), server = found_by(keys, jobs=8, versions=versions)
    assert found == keys
    pages = 2 * len(keys) // PAGE if versions == "yes" else len(keys) // PAGE
    assert pages <= len(server.requests) <= 2 * pages
    begun = [request for request in server.requests if {"start-after", "key-marker"} & {*request.query}]
    assert len([request for request in begun if "version-id-marker" not in request.query]) >= 8


@pytest.mark.parametrize("versions", ["no", "yes"])
def test_chains_that_begin_while_a_page_is_kept_begin_after_it(versions, scripted, quick):
    """Keeping a page takes time, in which others begin: else two chains would go on beside each other to the end."""
    keys = [f"{first}/{second}/{number}" for first in "abcdefgh" for second in "xyz" for number in range(9)]
    with_versions = versions == "yes"
    kept = []

    class Slow(NoKeeper):
        def keep_page(self, span, entries, following):  # noqa: ARG002
            time.sleep(0.01)
            kept.extend(zip(entries["key"].to_pylist(), entries["version_id"].to_pylist(), strict=True))

    bucket = open_bucket("b", endpoint_url=scripted(lambda it: listed(keys, it, with_versions=with_versions)).url)
    watch(bucket)
    with SortedRows(ENTRY_SCHEMA) as rows:
        list_entries(bucket, [""], rows, with_versions=with_versions, jobs=4, keeper=Slow())
    assert len(kept) == len(set(kept)) == (2 if with_versions else 1) * len(keys)


def test_what_one_job_lists_is_one_chain():
    """There is nobody to begin further on."""
    keys = [f"{folder}/{number}" for folder in "ab" for number in range(9)]
    (found, _), server = found_by(keys, jobs=1)
    assert found == keys
    assert len(server.requests) == 6


def test_requests_that_make_nothing_quicker_are_not_made(scripted):
    """Of a server that answers at once, two chains keep the processor busy."""
    keys = [f"flat/{number:03d}" for number in range(90)]
    server = scripted(lambda request: listed(keys, request))
    assert keys_of(server, jobs=16)[0] == keys
    assert len(server.requests) <= 50


def test_a_folder_that_may_not_be_looked_at_is_listed(scripted, quick):
    """A policy may allow all keys of a prefix, and not its folders alone: looking for folders is no more than that."""
    keys = [f"a/{number % 7}/{number}" for number in range(60)]

    def answer(request):
        if request.query.get("delimiter") and len(request.query.get("prefix", "")) > 0:
            return error(403, "AccessDenied")
        return listed(keys, request)

    bucket = open_bucket("b", endpoint_url=scripted(answer).url, connections=8)
    listing = list_bucket(bucket, versions="no", prefixes=["a/"], jobs=8)
    assert listing.table["key"].to_pylist() == sorted(keys)


def test_versions_are_found_by_many_jobs_too(scripted):
    """Every version and marker once, in pages of any folder."""
    keys = sorted(f"{first}/{second}/{number}" for first in "ab" for second in "xyz" for number in range(5))

    def answer(request):
        return listed(keys, request, with_versions="versions" in request.query)

    found, listing = keys_of(scripted(answer), jobs=8, versions="yes")
    assert sorted(found) == keys
    assert (listing.delete_markers, listing.older_versions) == (len(keys), 0)


def test_a_folder_of_many_folders_is_listed_as_one(scripted):
    """A request for each would cost more than it saves."""
    keys = sorted(f"{number:03d}/x" for number in range(60))
    server = scripted(lambda request: listed(keys, request))
    assert sorted(keys_of(server, jobs=4)[0]) == keys
    assert len(server.requests) < 2 * len(keys) // PAGE
    assert len([request for request in server.requests if "delimiter" in request.query]) == 1


@pytest.mark.parametrize(("jobs", "requests"), [(2, 2), (3, 4)])
def test_more_folders_than_jobs_are_listed_as_one(scripted, jobs, requests):
    """They are on one page; for those who can ask for all of them at a time, it may be that each has many."""
    server = scripted(lambda request: listed(["a/1", "b/1", "c/1"], request))
    assert keys_of(server, jobs=jobs)[0] == ["a/1", "b/1", "c/1"]
    assert len(server.requests) == requests


def test_refusals_and_broken_connections_lose_nothing(scripted):
    """503 SlowDown, 500, a connection reset and half a page: each is asked for again, and nothing counts twice."""
    keys = sorted(f"{first}/{number:02d}" for first in "abcd" for number in range(10))
    faults, lock = (
        iter([error(503, "SlowDown"), error(500, "InternalError"), *(Answer(body="<List", cut=cut) for cut in (0, 3))]),
        threading.Lock(),
    )

    def answer(request):
        with lock:
            fault = next(faults, None) if len(server.requests) % 3 == 0 else None
        return fault or listed(keys, request)

    server = scripted(answer)
    assert sorted(keys_of(server, jobs=4)[0]) == keys
    assert next(faults, None) is None


@pytest.mark.parametrize("cut", [0, 10])
def test_a_page_that_always_breaks_off_is_no_empty_one(scripted, monkeypatch, cut):
    """Even if it does so before its first byte."""
    monkeypatch.setattr("opendata_pkg.listing.bucket._ATTEMPTS", 2)
    page = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    server = scripted(lambda _: Answer(body=page, cut=cut))
    with pytest.raises(SourceError, match="the connection broke while it was sent"):
        keys_of(server, jobs=1)
    assert len(server.requests) == 2


def test_a_page_is_parsed_once(scripted, monkeypatch):
    """botocore, which would parse it twice more, gets to see what is left when the entries are taken out."""
    seen = []
    look = handlers._looks_like_special_case_error
    monkeypatch.setattr(
        handlers, "_looks_like_special_case_error", lambda status, body: seen.append(body) or look(status, body)
    )
    server = scripted(lambda request: listed(["a", "b"], request))
    assert keys_of(server, jobs=1)[0] == ["a", "b"]
    assert len(seen) == 1
    assert b"Contents" not in seen[0]


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("", "it says that a page of its list follows, but not how to ask for it"),
        ("<NextContinuationToken>x</NextContinuationToken>", "it lists the page after .* for ever"),
    ],
)
def test_a_list_that_does_not_go_on_is_told(scripted, rest, sentence):
    """A page that says that more follows, and then does not bring it, must not end the list."""
    page = (
        f"<ListBucketResult><IsTruncated>true</IsTruncated>{rest}<Contents><Key>a</Key></Contents></ListBucketResult>"
    )
    with pytest.raises(NotS3Error, match=sentence):
        keys_of(scripted(lambda _: Answer(body=page)), jobs=1)


def test_a_list_that_goes_round_is_told(scripted):
    """Pages that ask for each other in turn would never end, and neither would what is kept of them."""
    tokens = {"": "x", "x": "y", "y": "x"}

    def answer(request):
        token = tokens[request.query.get("continuation-token", "")]
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
        return Answer(body=f"<ListBucketResult>{more}<Contents><Key>a</Key></Contents></ListBucketResult>")

    with pytest.raises(NotS3Error, match=r"it lists the page after .* for ever"):
        keys_of(scripted(answer), jobs=1)


@pytest.mark.parametrize(("status", "with_body"), [(203, True), (204, False)])
def test_a_page_that_is_no_plain_answer_is_told(scripted, status, with_body):
    """What a proxy says instead of a server, say: it is no page without objects, in the middle of a list or alone."""

    def answer(request):
        page = listed([f"{number}" for number in range(9)], request)
        late = request.query.get("continuation-token") == "3"
        return Answer(status=status, body=page.body if with_body else b"") if late or not with_body else page

    with pytest.raises(NotS3Error, match=f"its answer to a request for a list of objects is HTTP {status}, not 200"):
        keys_of(scripted(answer), jobs=1)


@pytest.mark.parametrize(("versions", "jobs"), [("no", 1), ("yes", 1), ("no", 4), ("yes", 4)])
def test_a_page_that_only_says_how_to_ask_for_the_next_has_one(scripted, versions, jobs):
    """Not every server says IsTruncated; a list that ended there would silently be a part of the bucket."""
    keys = [f"{folder}/{number}" for folder in "ab" for number in range(10)]

    def answer(request):
        page = listed(keys, request, with_versions="versions" in request.query)
        return Answer(body=page.body.replace("<IsTruncated>true</IsTruncated>", ""))

    assert keys_of(scripted(answer), jobs=jobs, versions=versions)[0] == keys


@pytest.mark.parametrize("versions", ["no", "yes"])
def test_a_listing_larger_than_memory_is_the_same(scripted, tmp_path, monkeypatch, versions):
    """Entries wait in files, and so do the objects that are found among them; none of the files is left."""
    keys = sorted(f"{folder}/{number}" for folder in "abc" for number in range(30))
    server = scripted(lambda request: listed(keys, request, with_versions="versions" in request.query))
    bucket = open_bucket("b", endpoint_url=server.url, connections=4)
    whole = list_bucket(bucket, versions=versions, jobs=4)
    monkeypatch.setattr("opendata_pkg.columns.sorting.RUN_BYTES", 500)
    monkeypatch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", 0)
    spread = list_bucket(bucket, versions=versions, jobs=4, folder=tmp_path)
    assert spread.table.to_pylist() == whole.table.to_pylist()
    assert spread.table["key"].to_pylist() == keys
    assert (spread.older_versions, spread.delete_markers) == (whole.older_versions, whole.delete_markers)
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_is_reset_is_made_again(scripted):
    """The first connection ends in a TCP reset, in the middle of nothing."""
    keys = ["a", "b"]
    server = scripted(lambda request: listed(keys, request))
    behind = int(server.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as front:

        def relay():
            first, _ = front.accept()
            first.recv(10)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.close()
            second, _ = front.accept()
            with second, socket.create_connection(("127.0.0.1", behind)) as there:
                there.sendall(second.recv(65536))
                while data := there.recv(65536):
                    second.sendall(data)
                    if b"</ListBucketResult>" in data:
                        return

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        bucket = open_bucket("b", endpoint_url=f"http://127.0.0.1:{front.getsockname()[1]}")
        assert list_bucket(bucket, versions="no", jobs=1).table["key"].to_pylist() == keys
        thread.join()


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("<Contents><Size>1</Size></Contents>", "it has no key"),
        ("<Contents><Key>a</Key><Size>one</Size></Contents>", "expected a size in bytes, got 'one' for 'a'"),
        (
            f"<Contents><Key>a</Key><LastModified>{escape('<never>')}</LastModified></Contents>",
            "expected a time, got '<never>' for 'a'",
        ),
    ],
)
def test_entries_that_cannot_be_read_are_told(scripted, item, sentence):
    """A server that says nonsense is not asked nine times more."""
    server = scripted(lambda _: Answer(body=f"<ListBucketResult>{item}</ListBucketResult>"))
    with pytest.raises(NotS3Error, match=rf"has an entry that cannot be read \({sentence}"):
        keys_of(server, jobs=1)
    assert len(server.requests) == 1


def test_a_bucket_that_changes_between_prefixes_is_told(scripted):
    """One key in two states, which cannot both be the latest."""
    both = "".join(
        f"<Version><Key>a</Key><VersionId>{name}</VersionId><IsLatest>true</IsLatest></Version>" for name in "vw"
    )
    server = scripted(lambda _: Answer(body=f"<ListVersionsResult>{both}</ListVersionsResult>"))
    with pytest.raises(ChangedWhileListingError, match="at 'a'"):
        keys_of(server, jobs=4, versions="yes")


@pytest.mark.s3
@pytest.mark.parametrize("versions", ["yes", "no"])
def test_a_real_server_gives_many_jobs_what_it_gives_one(s3_server, versions):
    """Odd keys in several folders, overwritten and deleted ones, on a server with an order of its own."""
    name = f"spread-{versions}"
    s3_server.make_bucket(name)
    client = s3_server.client()
    for folder in ["", "one/", "one/two/", "é x/", "one.two/"]:
        for key in ODD:
            client.put_object(Bucket=name, Key=folder + key, Body=key.encode())
        client.put_object(Bucket=name, Key=f"{folder}only-gone/x", Body=b"x")
        client.delete_object(Bucket=name, Key=f"{folder}only-gone/x")
        client.put_object(Bucket=name, Key=f"{folder}a", Body=b"new")
    one, many = (scan(f"s3://{name}", endpoint_url=s3_server.endpoint_url, versions=versions, jobs=n) for n in (1, 16))
    assert len(one) == 5 * len(ODD)
    assert many.id == one.id
    assert (many.header.older_versions, many.header.delete_markers) == (
        one.header.older_versions,
        one.header.delete_markers,
    )
