"""A connection to one S3 bucket, and what its refusals mean in words."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp

from opendata_pkg.model import NotFoundError, OpenDataError, SourceError, UsageError, is_real_version
from opendata_pkg.urls import base_url, check_http_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from opendata_pkg.model import S3Object

# The region that is asked where a bucket is. Any would do: S3 answers for all buckets of its partition.
_FIRST_REGION = "us-east-1"
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_ATTEMPTS = 10
_REGION_HEADER = "x-amz-bucket-region"
_S3_SOURCE = re.compile(r"s3://([^/]*)(?:/(.*))?", re.DOTALL)

_DENIED = {"AccessDenied", "AllAccessDisabled", "Forbidden", "403"}
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}
# "Reduce your request rate", and errors of the server itself, which botocore tries again.
_BUSY_STATUSES = {429, 500, 502, 503, 504}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}


class NoSuchBucketError(NotFoundError):
    """No bucket of that name answers."""


class AccessDeniedError(SourceError):
    """The server refused: not public, or the profile may not."""


class NotS3Error(SourceError):
    """Something answers that does not speak S3."""

    def __init__(self, where: str, fault: str) -> None:
        super().__init__(
            f"expected {where} to answer as S3 does, but {fault}; check --endpoint-url: is an S3 server there?"
        )


class UnreachableError(SourceError):
    """No answer from the server, or none but "later", after retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket and the client that talks to it.

    `is_aws` tells Amazon's S3, whose rules for ETags and regions hold nowhere else. `profile` is the AWS profile that
    signs requests; None sends them unsigned, as any reader could.
    """

    name: str
    client: S3Client
    is_aws: bool
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None

    @property
    def base_url(self) -> str:
        """The URL that readers append percent-encoded keys to."""
        return base_url(self.name, self.region, None if self.is_aws else self.endpoint_url)

    @property
    def is_anonymous(self) -> bool:
        """Whether what it answers, it answers to everybody."""
        return self.profile is None

    def as_anybody(self) -> Bucket:
        """The same bucket, asked without credentials."""
        if self.is_anonymous:
            return self
        client = make_client(region=self.region, endpoint_url=self.endpoint_url, profile=None)
        return replace(self, client=client, profile=None)

    @contextmanager
    def errors_in_words(self) -> Iterator[None]:
        """Turn botocore's errors of the block into ours.

        Raises:
            NoSuchBucketError, AccessDeniedError, UnreachableError, SourceError: as `explain` says.
        """
        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise self.explain(error) from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{self.where} sent a key that is no UTF-8: {error}") from error

    @property
    def where(self) -> str:
        """How messages name this bucket and its server."""
        server = "" if self.endpoint_url is None or self.is_aws else f" at {self.endpoint_url}"
        return f"s3://{self.name}{server}"

    def explain(self, error: BotoCoreError | ClientError | ResponseParserError) -> OpenDataError:
        """What an error of botocore means to a person, and what to do next."""
        if isinstance(error, ClientError):
            return self._explain_refusal(error)
        if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | SSOError):
            return AccessDeniedError(
                f"expected credentials in the AWS profile {self.profile!r} for {self.where}: {error} "
                "Log in or mend the profile; leave out --profile for a public bucket"
            )
        if isinstance(error, ResponseParserError):
            return NotS3Error(self.where, str(error))
        if isinstance(error, BotoConnectionError | HTTPClientError):
            server = self.endpoint_url or "Amazon S3"
            return UnreachableError(
                f"no answer from {server} for s3://{self.name} after several attempts: {error}. "
                "Check the network" + ("" if self.is_aws else " and --endpoint-url") + ", then run again"
            )
        return SourceError(f"could not talk to {self.where}: {error}")

    def _explain_refusal(self, error: ClientError) -> OpenDataError:
        code, status = error_code(error), error_status(error)
        if code in {"NoSuchBucket", "NoSuchEntity"} or (code == "404" and error.operation_name == "HeadBucket"):
            return NoSuchBucketError(
                f"there is no bucket {self.name!r}"
                + (" on Amazon S3" if self.is_aws else f" at {self.endpoint_url}")
                + ": check the spelling"
                + (", or give --endpoint-url if it is on another S3 server" if self.is_aws else " and --endpoint-url")
            )
        if code in _BAD_CREDENTIALS:
            return AccessDeniedError(
                f"{self.where} does not accept the credentials of profile {self.profile!r} ({code}): log in again"
            )
        if code in _WRONG_REGION:
            return SourceError(
                f"{self.where} is not in region {self.region} ({code}): name the right one with --region"
            )
        if code in _DENIED or status == 403:  # noqa: PLR2004 - HTTP's own number
            if self.is_anonymous:
                advice = "it may not be public: try --profile NAME; and check the spelling"
            else:
                advice = f"profile {self.profile!r} may not do this: ask the bucket's owner for s3:ListBucket"
            return AccessDeniedError(f"access denied to {self.where} ({error.operation_name}): {advice}")
        message = error.response.get("Error", {}).get("Message", "")
        if status in _BUSY_STATUSES:
            said = ": ".join(filter(None, [f"HTTP {status}", message]))
            return UnreachableError(
                f"{self.where} is busy or broken: after several attempts it still answers {error.operation_name} "
                f"with {code} ({said}). Wait, and run the same command again: fewer --jobs ask less of it"
            )
        return SourceError(f"{self.where} refused {error.operation_name}: {code} {message}".rstrip())


def error_code(error: ClientError) -> str:
    """S3's name for an error, such as `NoSuchKey`; the HTTP status where there was no body to name it."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def error_status(error: ClientError) -> int:
    """The HTTP status of an error."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def parse_s3_source(source: str) -> tuple[str, str]:
    """The bucket and the key prefix of `s3://bucket[/prefix]`; the prefix is taken as it stands.

    Raises:
        UsageError: it has no bucket's name.
    """
    match = _S3_SOURCE.fullmatch(source)
    if match is None or not match[1]:
        raise UsageError(f"expected s3://BUCKET or s3://BUCKET/PREFIX, got {source!r}")
    return match[1], match[2] or ""


def make_client(
    *, region: str | None, endpoint_url: str | None, profile: str | None, connections: int = 10
) -> S3Client:
    """A boto3 client that signs as `profile`, or not at all.

    Raises:
        UsageError: there is no such profile.
    """
    # Unsigned requests must not depend on whose machine this is: a person's AWS_PROFILE may name a profile that is
    # gone, and AWS_ENDPOINT_URL or the configuration file may redirect requests meant for Amazon.
    session_vars = {"profile": (None, None, profile, None)}
    core = botocore.session.Session(profile=profile, session_vars=session_vars)
    core.register_component("data_loader", _loader())
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_s3_time)
    options: dict[str, Any] = {
        "signature_version": UNSIGNED if profile is None else None,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": _READ_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
        "max_pool_connections": connections,
        "s3": {"addressing_style": "auto" if endpoint_url is None else "path"},
        # Bytes are judged by their SHA-256; S3's own CRCs would only slow reading down.
        "response_checksum_validation": "when_required",
        "ignore_configured_endpoint_urls": True,
    }
    try:
        return boto3.session.Session(botocore_session=core).client(
            "s3", region_name=region or _FIRST_REGION, endpoint_url=endpoint_url, config=Config(**options)
        )
    except ProfileNotFound as error:
        known = ", ".join(core.available_profiles) or "none"
        raise UsageError(f"there is no AWS profile {profile!r}; profiles of this machine: {known}") from error


@cache
def _loader() -> Loader:
    # botocore reads megabytes of JSON for every session that has no loader to share.
    return create_loader()


def parse_s3_time(text: str) -> datetime:
    """A time as S3 writes it, in UTC."""
    # Half of botocore's time for a listing goes into guessing the format of each time in it; S3's is ISO 8601.
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = parse_timestamp(text)
    return time if time.tzinfo is UTC else time.astimezone(UTC)


def open_bucket(
    name: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    is_aws: bool | None = None,
    connections: int = 10,
) -> Bucket:
    """Connect to a bucket; on AWS, find its region first. Without an `endpoint_url` it is on AWS, unless told.

    Raises:
        NoSuchBucketError: there is none of that name.
        UnreachableError: the server does not answer.
        UsageError: the name, endpoint or profile cannot be.
    """
    if endpoint_url is not None:
        check_http_url(endpoint_url)
    base_url(name, region or _FIRST_REGION)
    client = make_client(region=region, endpoint_url=endpoint_url, profile=profile, connections=connections)
    bucket = Bucket(
        name=name,
        client=client,
        is_aws=endpoint_url is None if is_aws is None else is_aws,
        region=region,
        endpoint_url=endpoint_url,
        profile=profile,
    )
    if not bucket.is_aws:
        return bucket
    found = _find_region(bucket)
    if found == (region or _FIRST_REGION):
        return replace(bucket, region=found)
    client = make_client(region=found, endpoint_url=endpoint_url, profile=profile, connections=connections)
    return replace(bucket, region=found, client=client)


def read_conditions(target: S3Object) -> dict[str, Any]:
    """Parameters that make a request for an object fail, rather than answer for a state other than the recorded one."""
    if target.version_id is not None and is_real_version(target.version_id):
        return {"VersionId": target.version_id}
    return {} if target.etag is None else {"IfMatch": f'"{target.etag}"'}


def _find_region(bucket: Bucket) -> str:
    # "You can use this operation [HeadBucket] to determine the region": S3 answers with x-amz-bucket-region even where
    # it refuses (403) or sends elsewhere (301); not where there is no such bucket (404).
    with bucket.errors_in_words():
        try:
            response: Any = bucket.client.head_bucket(Bucket=bucket.name)
        except ClientError as error:
            response = error.response
            if _REGION_HEADER not in response["ResponseMetadata"].get("HTTPHeaders", {}):
                raise
    region = response["ResponseMetadata"]["HTTPHeaders"].get(_REGION_HEADER, bucket.region)
    if region is None:
        raise SourceError(f"{bucket.where} does not say in which region it is: name it with --region")
    return str(region)
