"""Listing buckets: on a real server, and with Amazon's own answers."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.sax.saxutils import escape

import pytest

from opendata_pkg.listing.bucket import (
    AccessDeniedError,
    NoSuchBucketError,
    UnreachableError,
    make_client,
    open_bucket,
    parse_s3_source,
)
from opendata_pkg.listing.s3 import (
    NothingThereError,
    VersionsNotAllowedError,
    are_versions_readable,
    list_bucket,
    without_covered,
)
from opendata_pkg.model import SourceError, UsageError
from opendata_pkg.scan.bucket import S3Options, scan_bucket
from tests.listing.scripted import Answer, error, md5_hex

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
REGION = {"x-amz-bucket-region": "eu-central-1"}


def contents(key, body=b"x", etag=None, date="2024-01-01T00:00:00.000Z", storage_class="STANDARD", size=None):
    """An object of ListObjectsV2."""
    etag = etag or md5_hex(body)
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{date}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
        f"<Size>{len(body) if size is None else size}</Size><StorageClass>{storage_class}</StorageClass></Contents>"
    )


def page(*items, token=None, encoding=""):
    """A page of ListObjectsV2."""
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return f"<ListBucketResult {XMLNS}><Name>b</Name>{encoding}{more}{''.join(items)}</ListBucketResult>"


def version(key, version_id, *, latest=True, date="2024-01-01T00:00:00.000Z", marker=False, body=b"x"):
    """An entry of ListObjectVersions."""
    tag = "DeleteMarker" if marker else "Version"
    data = "" if marker else f"<ETag>&quot;{md5_hex(body)}&quot;</ETag><Size>{len(body)}</Size>"
    return (
        f"<{tag}><Key>{key}</Key><VersionId>{version_id}</VersionId><IsLatest>{str(latest).lower()}</IsLatest>"
        f"<LastModified>{date}</LastModified>{data}<StorageClass>STANDARD</StorageClass></{tag}>"
    )


def versions_page(*items):
    """A page of ListObjectVersions."""
    return f"<ListVersionsResult {XMLNS}><Name>b</Name>{''.join(items)}</ListVersionsResult>"


def aws(listing=None, versions=None, objects=None, region=REGION):
    """An answering function: a bucket `b` on Amazon, in eu-central-1, that lists and serves what it is given.

    `listing` is a list of pages, fetched with tokens p1, p2, …; None is denied. `objects` are bytes by key.
    """
    objects = objects or {}

    def answer(request):
        if request.path.rstrip("/") == "/b":
            if request.method == "HEAD":
                return Answer(headers=region)
            if "versions" in request.query:
                return error(403, "AccessDenied") if versions is None else Answer(body=versions)
            if listing is None:
                return error(403, "AccessDenied")
            return Answer(body=listing[int(request.query.get("continuation-token", "p0")[1:])])
        key = request.path.removeprefix("/b/")
        if key not in objects:
            return error(404, "NoSuchKey")
        return Answer(body=objects[key], headers={"ETag": f'"{md5_hex(objects[key])}"'})

    return answer


def open_aws(server, **options):
    """The bucket, taken for one of Amazon's."""
    return open_bucket("b", endpoint_url=server.url, is_aws=True, **options)


# Where the bucket is


def test_the_region_is_found_and_used(scripted):
    """HeadBucket's answer makes the client and the public address, which is Amazon's."""
    bucket = open_aws(scripted(aws()))
    assert bucket.region == "eu-central-1"
    assert bucket.client.meta.region_name == "eu-central-1"
    assert bucket.base_url == "https://b.s3.eu-central-1.amazonaws.com/"


@pytest.mark.parametrize("refusal", [error(403, "AccessDenied", REGION), error(301, "PermanentRedirect", REGION)])
def test_the_region_is_found_in_a_refusal_too(scripted, refusal):
    """A wrong region (301) or a refused HeadBucket (403) still says where the bucket is."""
    assert open_aws(scripted(lambda _: refusal)).region == "eu-central-1"


def test_a_bucket_that_does_not_say_its_region_needs_it_named(scripted):
    """Without the header the person must say; then that is believed."""
    server = scripted(lambda _: Answer())
    assert open_aws(server, region="us-west-2").region == "us-west-2"
    with pytest.raises(SourceError, match="--region"):
        open_aws(server)


def test_no_such_bucket_on_aws(scripted):
    """A 404 is not found, with the spelling and the endpoint to check."""
    with pytest.raises(
        NoSuchBucketError, match="no bucket 'b' on Amazon S3: check the spelling, or give --endpoint-url"
    ):
        open_aws(scripted(lambda _: error(404, "NoSuchBucket")))


def test_no_such_bucket_elsewhere(scripted):
    """Other servers say it when they list."""
    bucket = open_bucket("b", endpoint_url=scripted(lambda _: error(404, "NoSuchBucket")).url)
    with pytest.raises(NoSuchBucketError, match=f"no bucket 'b' at {bucket.endpoint_url}"):
        list_bucket(bucket)


def test_requests_are_unsigned_whatever_the_machine_says(scripted, monkeypatch):
    """Credentials, profiles and endpoints of the environment do not reach an anonymous scan."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    monkeypatch.setenv("AWS_PROFILE", "gone")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    server = scripted(aws(listing=[page(contents("a"))]))
    list_bucket(open_aws(server))
    assert not [request for request in server.requests if "authorization" in request.headers]
    assert "127.0.0.1" not in make_client(region="us-east-1", endpoint_url=None, profile=None).meta.endpoint_url


def test_an_unknown_profile_is_named_with_the_known_ones(home):
    """A usage error, not a traceback."""
    (home / "aws-credentials").write_text("[mine]\naws_access_key_id = AK\naws_secret_access_key = SK\n")
    with pytest.raises(UsageError, match="no AWS profile 'yours'; profiles of this machine: mine"):
        make_client(region=None, endpoint_url="http://127.0.0.1:1", profile="yours")


def test_a_server_that_is_not_there_is_named(monkeypatch):
    """Connection failures name the endpoint, after retries."""
    monkeypatch.setattr("opendata_pkg.listing.bucket._ATTEMPTS", 2)
    with pytest.raises(
        UnreachableError, match=r"no answer from http://127\.0\.0\.1:1 for s3://b after several attempts"
    ):
        list_bucket(open_bucket("b", endpoint_url="http://127.0.0.1:1"))


@pytest.mark.parametrize("body", ["<html><p>Welcome</html>", "<html><body/></html>", "hello", "{}", ""])
def test_a_server_that_is_no_s3_server_is_told_apart(scripted, body):
    """An HTML page is not read as an empty bucket."""
    bucket = open_bucket("b", endpoint_url=scripted(lambda _: Answer(body=body)).url)
    with pytest.raises(SourceError, match=r"expected s3://b at .* to answer as S3 does"):
        list_bucket(bucket)


@pytest.mark.parametrize("source", ["s3://", "s3:///a", "s3:/b", "https://b"])
def test_sources_without_a_bucket_are_refused(source):
    """The form is shown."""
    with pytest.raises(UsageError, match="expected s3://BUCKET"):
        parse_s3_source(source)


def test_an_s3_source_is_split_at_its_first_slash():
    """The prefix is taken as it stands, spaces, slashes and all."""
    assert parse_s3_source("s3://b") == ("b", "")
    assert parse_s3_source("s3://b/") == ("b", "")
    assert parse_s3_source("s3://b//a b/%20?") == ("b", "/a b/%20?")


# What is listed


def test_pages_are_read_whatever_their_order_and_overlap(scripted):
    """Two pages out of order, one object on both: three objects, each once."""
    pages = [page(contents("b"), contents("c"), token="p1"), page(contents("a"), contents("c"))]
    listing = list_bucket(open_aws(scripted(aws(listing=pages))))
    assert sorted(listing.table["key"].to_pylist()) == ["a", "b", "c"]
    assert listing.method == "ListObjectsV2"


def test_an_object_that_changed_between_pages_is_an_error(scripted):
    """The same key with another ETag: scan again."""
    pages = [page(contents("c", b"1"), token="p1"), page(contents("c", b"2"))]
    with pytest.raises(SourceError, match=r"changed while it was being listed.*scan again"):
        list_bucket(open_aws(scripted(aws(listing=pages))))


def test_url_encoded_keys_are_decoded(scripted):
    """Amazon encodes keys in listings when asked to: a space as `+`, control characters that XML has no way to say."""
    listing = page(contents("a+b%2Bc%0A%01%C3%A9"), encoding="<EncodingType>url</EncodingType>")
    assert list_bucket(open_aws(scripted(aws(listing=[listing])))).table["key"].to_pylist() == ["a b+c\n\x01é"]


def test_a_busy_server_is_asked_again(scripted):
    """503 SlowDown is not the end."""
    answers = iter([error(503, "SlowDown"), error(500, "InternalError")])
    good = aws(listing=[page(contents("a"))])

    def answer(request):
        return next(answers, None) or good(request)

    assert len(list_bucket(open_aws(scripted(answer)), versions="no").table) == 1


def test_a_server_that_stays_busy_is_told_apart(scripted, monkeypatch):
    """What to do is to wait, and to ask for less at a time."""
    monkeypatch.setattr("opendata_pkg.listing.bucket._ATTEMPTS", 2)
    server = scripted(lambda request: Answer(headers=REGION) if request.method == "HEAD" else error(503, "SlowDown"))
    with pytest.raises(
        UnreachableError, match=r"s3://b is busy .* SlowDown \(HTTP 503: said so\)\. Wait, .*fewer --jobs"
    ):
        list_bucket(open_aws(server), versions="no")


def test_all_columns_are_taken_over(scripted):
    """Key, size, unquoted ETag, time in UTC and storage class as listed; what a listing cannot say is unknown."""
    listing = page(contents("a", b"xy", date="2024-03-01T02:03:04.500Z", storage_class="GLACIER"))
    row = list_bucket(open_aws(scripted(aws(listing=[listing])))).table.to_pylist()[0]
    assert row == {
        "key": "a",
        "version_id": None,
        "size": 2,
        "etag": md5_hex(b"xy"),
        "sha256": None,
        "md5": None,
        "last_modified": datetime(2024, 3, 1, 2, 3, 4, 500000, tzinfo=UTC),
        "storage_class": "GLACIER",
    }


def test_access_denied_says_what_to_try(scripted):
    """Neither versions nor objects may be listed."""
    with pytest.raises(AccessDeniedError, match=r"access denied to s3://b .*try --profile"):
        list_bucket(open_aws(scripted(aws())))


def test_a_wrong_prefix_names_the_near_ones(scripted):
    """Case and spelling are the usual mistakes; the parent's folders are looked at."""

    def answer(request):
        if request.method == "HEAD":
            return Answer(headers=REGION)
        if request.query.get("delimiter") == "/" and request.query["prefix"] == "Rat/":
            folders = ["Rat/SSCx/", "Rat/Thalamus/", "Rat/SSCx_old/"]
            return Answer(body=page(*(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders)))
        return Answer(body=page())

    with pytest.raises(NothingThereError, match=r"begins with 'Rat/sscX/x'; spelled alike: Rat/SSCx/, Rat/SSCx_old/$"):
        list_bucket(open_aws(scripted(answer)), prefixes=["Rat/sscX/x"], versions="no")


def test_a_wrong_prefix_is_told_where_its_folder_may_not_be_listed(scripted):
    """A policy may allow some prefixes only: there is no advice then, but the same error."""

    def answer(request):
        if request.method == "HEAD":
            return Answer(headers=REGION)
        return error(403, "AccessDenied") if "delimiter" in request.query else Answer(body=page())

    with pytest.raises(NothingThereError, match="begins with 'Rat/SSCX/'; nothing there is spelled alike"):
        list_bucket(open_aws(scripted(answer)), prefixes=["Rat/SSCX/"], versions="no")


def test_every_prefix_must_have_objects(scripted):
    """One good prefix does not hide a mistyped one."""
    listing = [page(contents("a/1"))]
    with pytest.raises(NothingThereError, match="begins with 'b/'"):
        list_bucket(open_aws(scripted(aws(listing=listing))), prefixes=["a/", "b/"])


def test_a_prefix_that_took_more_than_a_folder_is_told(scripted):
    """`Rat/SSCx` also takes `Rat/SSCx_old/`, as S3 does; a person hears of it."""
    listing = [page(contents("Rat/SSCx/1"), contents("Rat/SSCx_old/1"))]
    notes = list_bucket(open_aws(scripted(aws(listing=listing))), prefixes=["Rat/SSCx"], versions="no").notes
    assert len(notes) == 1
    assert "also took 1 object beside that folder, such as 'Rat/SSCx_old/1'" in notes[0]


def test_prefixes_in_prefixes_are_listed_once():
    """What another prefix covers is not asked for again."""
    assert without_covered(["a/b/", "c", "a/", "a/", "ab"]) == ["a/", "ab", "c"]
    assert without_covered(["", "x"]) == [""]


# Versions


def test_versions_that_may_not_be_listed_are_done_without(scripted):
    """`auto` falls back and says so; `yes` and a time of the past cannot."""
    server = scripted(aws(listing=[page(contents("a"))]))
    listing = list_bucket(open_aws(server))
    assert listing.method == "ListObjectsV2"
    assert "versions may not be listed by anonymous users" in listing.notes[0]
    with pytest.raises(VersionsNotAllowedError, match=r"ListBucketVersions.*scan with --versions no"):
        list_bucket(open_aws(server), versions="yes")
    with pytest.raises(VersionsNotAllowedError, match="without --as-of"):
        list_bucket(open_aws(server), as_of=datetime(2024, 1, 1, tzinfo=UTC))


def test_versions_are_not_asked_for_with_no(scripted):
    """`no` never asks."""
    server = scripted(aws(listing=[page(contents("a"))], versions=versions_page(version("a", "v1"))))
    assert list_bucket(open_aws(server), versions="no").notes == ()
    assert not [request for request in server.requests if "versions" in request.query]


def test_unversioned_buckets_are_recorded_as_null(scripted):
    """ListObjectVersions of a bucket without versions."""
    listing = list_bucket(open_aws(scripted(aws(versions=versions_page(version("a", "null"))))))
    assert listing.table["version_id"].to_pylist() == ["null"]
    assert "can be overwritten" in listing.notes[0]


def test_versions_that_cannot_be_read_are_dropped(scripted):
    """They may be listed by everybody but not read: their URLs would be 403s."""
    good = aws(versions=versions_page(version("a", "v1")), objects={"a": b"x"})

    def answer(request):
        return error(403, "AccessDenied") if "versionId" in request.query else good(request)

    listing = list_bucket(open_aws(scripted(answer)))
    assert listing.table["version_id"].to_pylist() == [None]
    assert "version ids were left out" in listing.notes[0]
    with pytest.raises(VersionsNotAllowedError, match="GetObjectVersion"):
        list_bucket(open_aws(scripted(answer)), as_of=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("statuses", "is_anonymous_scan", "readable"),
    [
        ([(200, 200)], True, True),
        ([(200, 200), (404, 404)], True, True),
        ([(200, 200), (403, 200)], True, False),
        ([(403, 403)], True, False),
        ([(403, 200)], False, False),
        ([(403, 403)], False, True),
        ([(404, 404)], True, True),
    ],
)
def test_versions_are_for_readers_without_credentials(statuses, is_anonymous_scan, readable):
    """What counts is what anybody gets; a private bucket's versions are kept for those who may read it."""
    assert are_versions_readable(statuses, is_anonymous_scan=is_anonymous_scan)[0] is readable


@pytest.mark.parametrize("marker_first", [True, False])
def test_the_order_of_a_version_and_a_marker_of_one_second_is_kept(scripted, marker_first):
    """Amazon lists the newest first; botocore alone would forget the order."""
    both = [
        version("k", "x1", latest=False, marker=True, date="2024-01-01T00:00:01.000Z"),
        version("k", "v1", latest=False, date="2024-01-01T00:00:01.000Z"),
    ]
    ordered = both if marker_first else both[::-1]
    new = version("k", "v9", date="2025-01-01T00:00:00.000Z")
    server = scripted(aws(versions=versions_page(version("z", "z1"), new, *ordered), objects={"k": b"x", "z": b"x"}))
    listing = list_bucket(open_aws(server), as_of=datetime(2024, 6, 1, tzinfo=UTC))
    assert listing.table["key"].to_pylist() == (["z"] if marker_first else ["k", "z"])


# ETags


def test_etags_count_on_aws_when_bytes_agree(scripted):
    """Anonymous, and the objects read have their ETags as MD5s; multipart ones stay without."""
    listing = page(contents("a", b"one"), contents("b", b"two"), contents("c", etag="a" * 32 + "-3"))
    server = scripted(aws(listing=[listing], objects={"a": b"one", "b": b"two"}))
    snapshot = scan_bucket(open_aws(server), S3Options(), source="s3://b")
    assert snapshot.table["md5"].to_pylist() == [md5_hex(b"one"), md5_hex(b"two"), None]
    assert (snapshot.header.etags_are_md5, snapshot.header.etags_checked) == (True, 2)
    assert snapshot.header.endpoint_url is None
    assert snapshot.header.base_url == "https://b.s3.eu-central-1.amazonaws.com/"


def test_kms_etags_do_not_count(scripted):
    """An object encrypted with a KMS key has 32 hex digits that are no MD5: then none counts."""
    listing = page(contents("a", b"one"), contents("k", etag="0" * 32, size=3))
    server = scripted(aws(listing=[listing], objects={"a": b"one"}))

    def answer(request):
        if request.path == "/b/k":
            return Answer(body=b"two", headers={"x-amz-server-side-encryption": "aws:kms"})
        return aws(listing=[listing], objects={"a": b"one"})(request)

    snapshot = scan_bucket(open_aws(scripted(answer)), S3Options(), source="s3://b")
    assert snapshot.table["md5"].null_count == 2
    assert "the ETag of 'k' is" in snapshot.header.notes[-1]
    readable = scan_bucket(open_aws(server), S3Options(), source="s3://b")
    assert readable.header.etags_checked == 1


def test_etags_do_not_count_when_nothing_can_be_read(scripted):
    """Listed but not readable: no evidence, no MD5."""
    snapshot = scan_bucket(open_aws(scripted(aws(listing=[page(contents("a"))]))), S3Options(), source="s3://b")
    assert snapshot.table["md5"].null_count == 1
    assert "could be read" in snapshot.header.notes[-1]


def test_elsewhere_etags_count_only_when_told(scripted):
    """Another server's ETags mean what that server likes."""
    server = scripted(aws(listing=[page(contents("a", b"one"))], objects={"a": b"one"}))
    bucket = open_bucket("b", endpoint_url=server.url)
    assert scan_bucket(bucket, S3Options(), source="s3://b").table["md5"].null_count == 1
    told = scan_bucket(bucket, S3Options(etag_is_md5=True), source="s3://b")
    assert told.table["md5"].to_pylist() == [md5_hex(b"one")]
