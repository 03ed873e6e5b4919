"""Addresses of objects: exact, reversible, and understood by a real server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st

from opendata_pkg.model import InputError, ObjectKey, UsageError, VersionId
from opendata_pkg.urls import base_url, check_http_url, object_url, object_urls, parse_object_url

BASE = "https://bucket.s3.us-west-2.amazonaws.com/"
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("./%+ ?#&=\\é\n", max_size=12)
REAL_KEYS = Path(__file__).parent / "data" / "openbluebrain-keys.tsv"


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint_url", "expected"),
    [
        ("openbluebrain", "us-west-2", None, "https://openbluebrain.s3.us-west-2.amazonaws.com/"),
        ("bucket", "cn-north-1", None, "https://bucket.s3.cn-north-1.amazonaws.com.cn/"),
        ("data.example.org", "eu-west-1", None, "https://s3.eu-west-1.amazonaws.com/data.example.org/"),
        ("Old_Bucket", "us-east-1", None, "https://s3.us-east-1.amazonaws.com/Old_Bucket/"),
        ("bucket", None, "http://127.0.0.1:8333", "http://127.0.0.1:8333/bucket/"),
        ("bucket", "us-east-1", "https://s3.example.org/below/", "https://s3.example.org/below/bucket/"),
    ],
)
def test_base_url_is_virtual_hosted_where_tls_allows_it(bucket, region, endpoint_url, expected):
    """Dotted and old names, China and other servers each get the address that works for them."""
    assert base_url(bucket, region, endpoint_url) == expected


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint_url"),
    [
        ("a/b", "us-east-1", None),
        ("", "us-east-1", None),
        ("bucket", None, None),
        ("bucket", "Us East", None),
        ("bucket", None, "s3.example.org"),
        ("bucket", None, "https://user@example.org"),
        ("bucket", None, "https://example.org/?x=1"),
        ("bucket", None, "https://[broken"),
    ],
)
def test_what_cannot_be_an_address_is_refused(bucket, region, endpoint_url):
    """A name or endpoint that would make a wrong URL is a usage error."""
    with pytest.raises(UsageError):
        base_url(bucket, region, endpoint_url)


def test_a_good_url_is_taken_as_it_is():
    """Checking a URL does not rewrite it."""
    assert check_http_url("https://data.example.org/files") == "https://data.example.org/files"


@pytest.mark.parametrize(
    ("key", "version", "expected"),
    [
        ("a/b.swc", None, "a/b.swc"),
        ("a/b.swc", "null", "a/b.swc"),
        ("a/b.swc", "v.1_2-3~", "a/b.swc?versionId=v.1_2-3~"),
        ("a b+c", "x/y=&", "a%20b%2Bc?versionId=x%2Fy%3D%26"),
        ("é/日", None, "%C3%A9/%E6%97%A5"),
        ("a/./b/../c/.", None, "a/%2E/b/%2E%2E/c/%2E"),
        (".a/b./...", None, ".a/b./..."),
        ("..", None, "%2E%2E"),
        ("//a/", None, "//a/"),
        ("100%25", None, "100%2525"),
        ("a\n\x00", None, "a%0A%00"),
    ],
)
def test_object_url_encodes_all_but_unreserved_characters(key, version, expected):
    """Known keys have known URLs, and `null` versions are not in them."""
    assert object_url(BASE, ObjectKey(key), None if version is None else VersionId(version)) == BASE + expected


@given(KEYS, st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example("EM__emodel=cADpyr__etype=cb1r+.json", None)
def test_key_to_url_to_key(key, version):
    """Every key and real version comes back from its URL, which is plain ASCII without dot segments."""
    url = object_url(BASE, ObjectKey(key), None if version is None else VersionId(version))
    assert url.isascii()
    assert not {".", ".."} & set(url.removeprefix(BASE).partition("?")[0].split("/"))
    assert parse_object_url(BASE, url) == (key, None if version == "null" else version)


@given(st.lists(st.tuples(KEYS, st.none() | st.just("null") | st.text(min_size=1)), max_size=8))
@example([("a b", None), ("..", "v"), ("a/./b", None), (".a/b./...", "x/y=&"), ("a/.", None), ("%20 ", "null")])
def test_urls_in_bulk_are_those_one_by_one(rows):
    """Whatever the keys and versions."""
    keys, versions = ([row[column] for row in rows] for column in (0, 1))
    found = object_urls(BASE, pa.array(keys, pa.string()), pa.array(versions, pa.string())).to_pylist()
    assert found == [object_url(BASE, *row) for row in rows]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.org/a",
        BASE + "a?versionId=",
        BASE + "a?versionId=1&x=2",
        BASE + "a?list-type=2",
        BASE + "a b",
        BASE + "a#b",
        BASE + "a%2",
        BASE + "a%FF",
        BASE + "a?versionId=%FF",
    ],
)
def test_other_urls_are_no_objects(url):
    """What `object_url` cannot have made is refused with the URL in the sentence."""
    with pytest.raises(InputError, match=r"expected .*https://"):
        parse_object_url(BASE, url)


def test_the_real_keys_come_back():
    """All 916 keys of the real bucket survive the way to their URLs and back."""
    keys = [line.split("\t")[0] for line in REAL_KEYS.read_text().splitlines()[1:]]
    assert len(keys) == 916
    assert [parse_object_url(BASE, object_url(BASE, ObjectKey(key), None))[0] for key in keys] == keys


@pytest.mark.s3
def test_a_hostile_key_url_brings_that_object(s3_server):
    """A real server gives each object's own bytes for its URL, current and old, through an ordinary client."""
    keys = [
        "a b",
        "a+b",
        "a%20b",
        "a%2Bb",
        "é/日本.txt",
        "q?x=1&y#z",
        "Collab_D'Angelo",
        "x..y/.z",
        "tab\there",
        "~*'();:@",
    ]
    s3_server.make_bucket("hostile-urls")
    client, base = s3_server.client(), base_url("hostile-urls", None, s3_server.endpoint_url)
    old = {key: client.put_object(Bucket="hostile-urls", Key=key, Body=f"old {key}".encode()) for key in keys}
    for key in keys:
        client.put_object(Bucket="hostile-urls", Key=key, Body=f"new {key}".encode())
    with urllib3.PoolManager() as pool:
        for key in keys:
            current = pool.request("GET", object_url(base, ObjectKey(key), None))
            assert (current.status, current.data) == (200, f"new {key}".encode())
            before = pool.request("GET", object_url(base, ObjectKey(key), VersionId(old[key]["VersionId"])))
            assert hashlib.sha256(before.data).digest() == hashlib.sha256(f"old {key}".encode()).digest()
