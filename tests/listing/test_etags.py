"""When ETags count as MD5s: the decision, and the choice of what is read for it."""

from __future__ import annotations

import pytest

from opendata_pkg.listing.etags import (
    EtagCheck,
    EtagIsNotMd5Error,
    check_samples,
    choose_samples,
    decide,
    fill_md5,
)
from opendata_pkg.listing.read import ObjectReadError, Opened
from opendata_pkg.model import ETag, Md5, ObjectKey, S3Object
from opendata_pkg.snapshot.rows import objects_to_table
from tests.listing.scripted import md5_hex

GOOD = EtagCheck(key=ObjectKey("good"), etag=ETag("A" * 32), md5=Md5("a" * 32))
BAD = EtagCheck(key=ObjectKey("bad"), etag=ETag("b" * 32), md5=Md5("c" * 32))
UNREAD = EtagCheck(key=ObjectKey("unread"), etag=ETag("d" * 32), md5=None)


def s3_object(key: str, size: int | None, etag: str | None, md5: str | None = None) -> S3Object:
    """A row."""
    return S3Object(
        key=ObjectKey(key),
        size_bytes=size,
        etag=None if etag is None else ETag(etag),
        md5=None if md5 is None else Md5(md5),
    )


@pytest.mark.parametrize(
    ("checks", "is_anonymous_aws", "told", "are_md5", "checked"),
    [
        ([GOOD], True, False, True, 1),
        ([GOOD, UNREAD], True, False, True, 1),
        ([GOOD, BAD], True, False, False, 0),
        ([UNREAD], True, False, False, 0),
        ([], True, False, False, 0),
        ([], False, False, False, 0),
        ([GOOD], False, False, False, 0),
        ([GOOD], False, True, True, 1),
        ([], False, True, True, 0),
    ],
)
def test_etags_count_only_with_evidence_or_on_somebodys_word(checks, is_anonymous_aws, told, are_md5, checked):
    """Anonymous on AWS and agreeing, or told and not contradicted; nothing else."""
    verdict = decide(checks, is_anonymous_aws=is_anonymous_aws, told=told)
    assert (verdict.are_md5, verdict.checked) == (are_md5, checked)
    assert ("were taken" in verdict.reason) is are_md5


@pytest.mark.parametrize("is_anonymous_aws", [True, False])
def test_a_contradicted_word_is_an_error_that_names_the_object(is_anonymous_aws):
    """`--etag-is-md5` does not overrule the bytes."""
    with pytest.raises(EtagIsNotMd5Error, match=f"'bad' is {'b' * 32}, but the MD5 of its bytes is {'c' * 32}"):
        decide([GOOD, BAD], is_anonymous_aws=is_anonymous_aws, told=True)


def test_samples_are_small_and_spread():
    """Eight of the objects that can prove something, from the first key to the last."""
    objects = [s3_object(f"{number:03d}", 10, "a" * 32) for number in range(100)]
    others = [
        s3_object("empty", 0, "a" * 32),
        s3_object("large", 64 * 1024 + 1, "a" * 32),
        s3_object("parts", 10, "a" * 32 + "-2"),
        s3_object("none", 10, None),
        s3_object("unknown", None, "a" * 32),
    ]
    samples = choose_samples(objects_to_table(objects + others))
    assert [sample.key for sample in samples] == ["000", "014", "028", "042", "056", "070", "084", "099"]
    assert [sample.key for sample in choose_samples(objects_to_table(objects[:1]))] == ["000"]
    assert choose_samples(objects_to_table(others)) == []


def test_only_etags_of_the_right_form_become_md5s():
    """Multipart ETags stay out; an MD5 that was known stays."""
    table = objects_to_table(
        [
            s3_object("a", 1, "ABCDEF0123456789ABCDEF0123456789"),
            s3_object("b", 1, "a" * 32 + "-2"),
            s3_object("c", 1, None),
            s3_object("d", 1, "a" * 32, md5="f" * 32),
            s3_object("e", 1, "g" * 32),
        ]
    )
    expected = ["abcdef0123456789abcdef0123456789", None, None, "f" * 32, None]
    assert fill_md5(table)["md5"].to_pylist() == expected


class _Reader:
    def open(self, target: S3Object, start: int = 0) -> Opened:
        if target.key == "gone":
            raise ObjectReadError(target.key, "gone")
        return Opened(chunks=iter([b"by", b"tes"]), close=lambda: None, start=start, total_bytes=5)


def test_a_sample_that_cannot_be_read_proves_nothing():
    """It counts neither for nor against."""
    etag = md5_hex(b"bytes")
    checks = check_samples([s3_object("a", 5, etag), s3_object("gone", 5, etag)], _Reader())
    assert [(check.md5, check.agrees) for check in checks] == [(etag, True), (None, False)]
