"""Where a store is served from, for those who read it: a folder, or any web server that hands out files.

What is named with its digest is checked against it wherever it comes from, and kept in the cache when it came from
afar: it never changes, so it is transferred once.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from opendata_pkg.digests.checksums import cache_folder
from opendata_pkg.files import at_home, write_bytes, write_text
from opendata_pkg.model import InputError, NotFoundError, SourceError, UsageError
from opendata_pkg.urls import check_http_url
from opendata_pkg.web.transport import RefusedError, Transport

_INDEX = "index.json"
_GONE = (404, 410)


class NoStoreError(NotFoundError):
    """There is no store."""


class BrokenStoreError(InputError):
    """A file of the store is not the one that the index was made with."""


class NotInCacheError(SourceError):
    """Something is needed that is not in the cache, and the network must not be asked."""


class Place(Protocol):
    """Hands out the files of a store."""

    @property
    def where(self) -> str:
        """How people name it: a path or a URL."""

    def read(self, relative: str, sha256: str | None = None) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: there is none.
            BrokenStoreError: it has another digest than `sha256`.
            SourceError: the server refused or did not answer.
        """

    def is_near(self, sha256: str) -> bool:
        """Whether the file of that digest can be read without a transfer."""

    def git_url(self, name: str) -> str:
        """Where git finds the repository of a dataset: an absolute path, or a URL."""


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """A store on this machine, whoever owns it."""

    path: Path

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.path)

    def read(self, relative: str, sha256: str | None = None) -> bytes:
        """The bytes of a file; see `Place`."""
        path = self.path / _checked(relative, self.where)
        return _bound(path.read_bytes(), sha256, str(path))

    def is_near(self, sha256: str) -> bool:  # noqa: ARG002 - all of it is
        """See `Place`."""
        return True

    def git_url(self, name: str) -> str:
        """See `Place`: DataLad mistakes a relative path for one beside the clone."""
        return str((self.path / "git" / f"{name}.git").resolve())


@dataclass(frozen=True, slots=True, weakref_slot=True)
class StoreOnWeb:
    """A store behind any web server, at `base_url` (ending in a slash). `where` is how it was named."""

    where: str
    base_url: str
    transport: Transport
    cache: Path
    offline: bool
    _read: dict[str, bytes] = field(default_factory=dict, init=False)

    def read(self, relative: str, sha256: str | None = None) -> bytes:
        """The bytes of a file, from the cache if they are there; see `Place`.

        A file without a digest is asked for once in a run, and taken from the cache only when offline.
        """
        if sha256 is None and relative in self._read:
            return self._read[relative]
        kept = self._kept(relative) if sha256 is None else self._kept_content(sha256)
        if (sha256 is not None or self.offline) and kept.is_file():
            data = kept.read_bytes()
            if sha256 is None or hashlib.sha256(data).hexdigest() == sha256:
                return data
        if self.offline:
            raise NotInCacheError(f"{self.where}{relative} is not in the cache: run once without --offline")
        data = _bound(self._get(_checked(relative, self.where)), sha256, self.base_url + relative)
        if sha256 is None:
            self._read[relative] = data
        if not self.cache.exists() or os.access(self.cache, os.W_OK):
            write_bytes(kept, data)
        return data

    def _get(self, relative: str) -> bytes:
        try:
            return self.transport.read(self.base_url + relative)
        except RefusedError as error:
            if error.status in _GONE:
                raise FileNotFoundError(self.base_url + relative) from error
            raise

    def is_near(self, sha256: str) -> bool:
        """See `Place`."""
        return self._kept_content(sha256).is_file()

    def git_url(self, name: str) -> str:
        """See `Place`."""
        return f"{self.base_url}git/{name}.git"

    def _kept_content(self, sha256: str) -> Path:
        return self.cache / "content" / sha256[:2] / sha256

    def _kept(self, relative: str) -> Path:
        place = hashlib.sha256(self.base_url.encode()).hexdigest()[:16]
        return self.cache / place / relative


def open_place(where: str | Path, *, endpoint_url: str | None = None, offline: bool = False) -> Place:
    """The place that a person means: a folder, an http(s) URL, or `s3://bucket/prefix`, which is read as anybody.

    `endpoint_url` is that of an S3 server other than Amazon's.

    Raises:
        NoStoreError: there is no such folder.
        UsageError: it is no such thing.
        SourceError: as the server says.
    """
    text = str(where)
    if "://" not in text:
        folder = Path(at_home(where))
        if not folder.exists():
            raise NoStoreError(f"no store at {folder}: check the path; a steward makes one with opendata build")
        return StoreFolder(folder)
    cache = cache_folder() / "stores"
    if text.startswith(("http://", "https://")):
        base = check_http_url(text.removesuffix(_INDEX)).rstrip("/") + "/"
    elif text.startswith("s3://"):
        base = _s3_base(text, cache, endpoint_url, offline=offline)
    else:
        raise UsageError(f"expected a store's folder, its http(s) URL or s3://BUCKET/PREFIX, got {text}")
    transport = Transport.create(offline=offline)
    place = StoreOnWeb(f"{text.removesuffix(_INDEX).rstrip('/')}/", base, transport, cache, offline)
    # Its connections are kept as long as somebody may read from it.
    weakref.finalize(place, transport.close)
    return place


def _s3_base(text: str, cache: Path, endpoint_url: str | None, *, offline: bool) -> str:
    """The web address of `s3://bucket/prefix`; remembered, since finding a bucket's region takes requests."""
    known = cache / "addresses" / f"{hashlib.sha256(f'{endpoint_url} {text}'.encode()).hexdigest()}.txt"
    if offline:
        if not known.is_file():
            raise NotInCacheError(f"the address of {text} is not in the cache: run once without --offline")
        return known.read_text(encoding="utf-8").strip()
    # boto3 takes a while to import, which readers of other stores need not wait for.
    from opendata_pkg.listing.bucket import open_bucket, parse_s3_source  # noqa: PLC0415

    name, prefix = parse_s3_source(text)
    base = open_bucket(name, endpoint_url=endpoint_url).base_url
    base += f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    write_text(known, base + "\n")
    return base


def _bound(data: bytes, sha256: str | None, where: str) -> bytes:
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise BrokenStoreError(
            f"{where} is not as it was released: restore it from a copy of the store, or ask its steward to "
            f"(expected sha256 {sha256}, got {found})"
        )
    return data


def _checked(relative: str, where: str) -> str:
    """A path of a store that stays in it: an index is somebody else's document."""
    parts = relative.split("/")
    if relative.startswith("/") or "\\" in relative or any(part in {"", ".", ".."} for part in parts):
        raise BrokenStoreError(f"expected a path inside the store {where}, got {relative!r}: its index is broken")
    return relative
