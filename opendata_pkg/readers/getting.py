"""Contents of a clone's files: brought in parallel, checked while they stream, kept where git-annex keeps them.

git-annex then knows them as present: its branch says so, as if another clone had pushed there.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from opendata_pkg.annex import KeyFacts, read_key
from opendata_pkg.cache.bringing import bring_all
from opendata_pkg.cache.download import NoUrlError, download
from opendata_pkg.cache.wanted import Wanted
from opendata_pkg.git.content import AnnexClone, AnnexedFile, relative_to_top
from opendata_pkg.model import MismatchError, OpenDataError, SourceError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted
from opendata_pkg.web.proxies import proxy_for, read_proxies
from opendata_pkg.web.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from opendata_pkg.model import AnnexKey

JOBS = 16
_ALLOWED = "annex.security.allowed-ip-addresses"
_PORTS = {"http": 80, "https": 443}
# While it is there, contents may have come that git-annex was not told of.
_MARK = "opendata-get"
_READ_ONLY = 0o444


class NotAllGotError(SourceError):
    """Some contents could not be had."""


class WrongContentError(MismatchError):
    """Some contents are not what was recorded."""


class UnknownBackendError(SourceError):
    """A key whose content we do not know how to check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResult:
    """What was brought: files, distinct contents' bytes, files that were here before, and what failed, by path."""

    files: int
    size_bytes: int
    here: int
    failures: Mapping[str, OpenDataError]

    def to_dict(self) -> dict[str, object]:
        """The result as JSON values; of what failed, why."""
        return {
            "files": self.files,
            "bytes": self.size_bytes,
            "here": self.here,
            "failed": {path: str(error) for path, error in self.failures.items()},
        }

    def check_complete(self) -> None:
        """Raise the error of what could not be had, if there is any."""
        if not self.failures:
            return
        wrong = {path: error for path, error in self.failures.items() if isinstance(error, MismatchError)}
        path, error = next(iter((wrong or self.failures).items()))
        kind = WrongContentError if wrong else NotAllGotError
        raise kind(f"{counted(len(self.failures), 'file')} could not be had, such as {path}: {error}")


def get(
    paths: Sequence[Path] = (),
    *,
    cwd: Path | None = None,
    only: Collection[Path] | None = None,
    jobs: int = JOBS,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> GetResult:
    """Bring the contents of files in a clone, at and below `paths` (by default all of the folder `cwd`).

    Installed subdatasets are gone into. With `only`, just these files of them (absolute paths).

    Raises:
        NotACloneError: a path is in no dataset.
        NotFoundError: there is nothing at a path.
        UsageError: a clone keeps content in a way that only git-annex knows.
        SourceError: git or git-annex failed, or the disk is full; what fails for single files is in the result.
    """
    folder = Path.cwd() if cwd is None else cwd
    works = _find_works([folder / path for path in paths] or [folder], only, reporter)
    reporter.start("getting", sum(work.size_bytes for work in works), "bytes")
    with Transport.create(connections=jobs, offline=offline) as transport:
        for work in works:
            work.bring(transport, jobs, reporter)
    reporter.finish()
    _explain_refusals(works, reporter)
    return GetResult(
        files=sum(work.got_files for work in works),
        size_bytes=sum(size_bytes for work in works for size_bytes in work.got.values()),
        here=sum(work.here for work in works),
        failures={path: error for work in works for path, error in work.failures.items()},
    )


def _find_works(paths: Iterable[Path], only: Collection[Path] | None, reporter: Reporter) -> list[_Work]:
    """What is to be done in each dataset, the outer ones first."""
    below: dict[Path, list[str]] = {}
    for path in paths:
        clone = AnnexClone.of(path)
        below.setdefault(clone.top, []).append(relative_to_top(clone, path))
    works, absent = [], []
    while below:
        top, relative = below.popitem()
        clone = AnnexClone(top)
        listing = clone.listing(relative)
        for subdataset in listing.subdatasets:
            inner = top / subdataset
            if (inner / ".git").exists():
                below.setdefault(inner, []).append(".")
            else:
                absent.append(inner)
        files = [file for file in listing.files if only is None or top / file.path in only]
        if files:
            clone.prepare()
            works.append(_Work(clone, files))
    if absent and only is None:
        reporter.message(
            f"not installed: {counted(len(absent), 'subdataset')}; datalad get -n {absent[0]} installs one"
        )
    return sorted(works, key=lambda work: work.clone.top)


@dataclass(frozen=True, slots=True)
class _Missing:
    """Content that is not here: the files that have it, and what its key says of it."""

    files: list[AnnexedFile]
    facts: KeyFacts


class _Order(NamedTuple):
    """A content to be brought: what is wanted, where it goes, and where it is while it comes."""

    wanted: Wanted
    target: str
    part: str

    @property
    def is_far(self) -> bool:
        """It is not here: nothing else is asked for."""
        return True


class _Work:
    """The files of one dataset whose contents are wanted, by key; `got` are the sizes in bytes of those that came."""

    def __init__(self, clone: AnnexClone, files: Sequence[AnnexedFile]) -> None:
        self.clone = clone
        self.got: dict[AnnexKey, int] = {}
        self.failures: dict[str, OpenDataError] = {}
        self._missing: dict[AnnexKey, _Missing] = {}
        self._present: set[AnnexKey] = set()
        self.here = 0
        for file in files:
            if (missing := self._missing.get(file.key)) is not None:
                missing.files.append(file)
            elif file.key in self._present or os.path.exists(clone.object_of(file.key)):  # noqa: PTH110 - many files
                self._present.add(file.key)
                self.here += 1
            else:
                self._missing[file.key] = _Missing([file], read_key(file.key))
        self.urls = clone.urls_of(self._missing)

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes that keys tell of what is missing."""
        return sum(missing.facts.size_bytes or 0 for missing in self._missing.values())

    @property
    def got_files(self) -> int:
        """How many files have got their content."""
        return sum(len(self._missing[key].files) for key in self.got)

    def bring(self, transport: Transport, jobs: int, reporter: Reporter) -> None:
        """Download what is missing, and tell git-annex of all that came, also when interrupted."""
        mark = self.clone.annex / _MARK
        if mark.exists() and self._present:
            self.clone.record(self.clone.unrecorded(self._present))
        if not self._missing:
            mark.unlink(missing_ok=True)
            return
        mark.touch()
        try:
            self._download(transport, jobs, reporter)
        finally:
            if self.got:
                self.clone.record(self.got)
        mark.unlink()
        self.clone.fill(file for key in self.got for file in self._missing[key].files if file.is_unlocked)

    def _download(self, transport: Transport, jobs: int, reporter: Reporter) -> None:
        mask = os.umask(0o077)
        os.umask(mask)
        orders: dict[AnnexKey, _Order] = {}
        for key in self._missing:
            try:
                orders[key] = self._order(key)
            except OpenDataError as error:
                self._fail(key, error)
        keys = list(orders)
        outcomes = bring_all(
            partial(_bring_one, mask), list(orders.values()), transport=transport, jobs=jobs, reporter=reporter
        )
        for number, outcome in outcomes:
            if isinstance(outcome, OpenDataError):
                self._fail(keys[number], outcome)
            else:
                self.got[keys[number]] = outcome

    def _fail(self, key: AnnexKey, error: OpenDataError) -> None:
        self.failures |= {str(self.clone.top / file.path): error for file in self._missing[key].files}

    def _order(self, key: AnnexKey) -> _Order:
        """What is asked for to have a key's content; an error, if that cannot be."""
        missing = self._missing[key]
        self._check_key(key, missing.facts)
        wanted = Wanted(
            name=missing.files[0].path,
            urls=self.urls[key],
            size_bytes=missing.facts.size_bytes,
            sha256=missing.facts.sha256,
            md5=missing.facts.md5,
        )
        return _Order(wanted, self.clone.object_of(key), self.clone.part_of(key))

    def _check_key(self, key: AnnexKey, facts: KeyFacts) -> None:
        if not self.urls[key]:
            raise NoUrlError(f"{key} has no web address: git annex whereis names other places; git annex get asks them")
        if not facts.is_known:
            raise UnknownBackendError(f"{key} is of a kind that is not checked here: use git annex get")
        if facts.sha256 is None and self.clone.wants_secure_keys:
            raise UnknownBackendError(f"{key} has no secure digest, and annex.securehashesonly is set: nothing was got")


def _bring_one(mask: int, order: _Order, transport: Transport, on_bytes: Callable[[int], None]) -> int:
    """Bring one content, in whatever process; its size in bytes."""
    with _writable_folder(os.path.dirname(order.target), mask):  # noqa: PTH120 - called for each of many files
        got = download(
            order.wanted,
            order.target,
            transport=transport,
            part=order.part,
            mode=_READ_ONLY & ~mask,
            on_bytes=on_bytes,
        )
    return got.size_bytes


@contextmanager
def _writable_folder(name: str, mask: int) -> Iterator[None]:
    """Make the folder of a content, or let one that is there be written to until the block ends.

    Afterwards it is as git-annex has it: nothing in it can be removed by mistake. If nothing came into it, it is gone.
    """
    _make_folder(name)
    os.chmod(name, 0o777 & ~mask)  # noqa: PTH101 - called for each of many files, as all here
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.rmdir(name)  # noqa: PTH106
        raise
    finally:
        with suppress(FileNotFoundError):
            os.chmod(name, 0o555 & ~mask)  # noqa: PTH101


def _make_folder(name: str) -> None:
    """Make a folder and those above it, the innermost first, where they are not there."""
    with suppress(FileExistsError):
        try:
            os.mkdir(name)  # noqa: PTH102
        except FileNotFoundError:
            _make_folder(os.path.dirname(name))  # noqa: PTH120
            os.mkdir(name)  # noqa: PTH102


def _explain_refusals(works: Sequence[_Work], reporter: Reporter) -> None:
    """Say what stock tools need here: git-annex asks no private address, nor a proxy on one, unless it is told to."""
    # Up to the third slash: nothing more of thousands of them is looked at.
    urls = {"/".join(url.split("/", 3)[:3]): work for work in works for key in work.got for url in work.urls[key]}
    servers = {
        (parts.scheme, parts.hostname or "", parts.port): work
        for url, work in urls.items()
        for parts in (urlsplit(url),)
    }
    proxies = read_proxies()
    for (scheme, host, port), work in servers.items():
        proxy = proxy_for(scheme, host, port or _PORTS[scheme], proxies)
        addresses = _private_addresses(host if proxy is None else proxy.host)
        allowed = (work.clone.setting(_ALLOWED) or "").split()
        if addresses and "all" not in allowed and not addresses <= set(allowed):
            named = shlex.quote(" ".join(sorted(addresses | set(allowed))))
            reporter.message(
                f"git annex get and datalad get refuse {host}, which is reached at a private address, until told in "
                f"each clone: git config {_ALLOWED} {named}"
            )


def _private_addresses(host: str) -> set[str]:
    """The addresses of a host of which git-annex asks none by itself."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()
    return {address for address in found if not ipaddress.ip_address(address.split("%", 1)[0]).is_global}
