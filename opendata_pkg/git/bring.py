"""A published repository's objects and refs, brought into a new one: links from a folder, packs from a web server.

Over http, `git clone` asks for one object after another and looks at each twice; here whole packs are received, several
at a time. Packs that the release bound by SHA-256 are taken as they are, with their indexes. Of others, or where other
bytes come, `git index-pack` computes every object's id, so that a server cannot pass off one for another.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.files import write_bytes
from opendata_pkg.git.bound_packs import BoundFile
from opendata_pkg.git.repository import Repository, call_git, git_environment
from opendata_pkg.model import InputError, ObjectId, SourceError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.web.transport import BrokenTransferError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opendata_pkg.git.bound_packs import BoundPack, BoundPacks
    from opendata_pkg.web.transport import Response, Transport

Refs = dict[str, ObjectId]

_PACK_FILES = frozenset({".pack", ".idx", ".rev"})
_LOOSE_FOLDER = re.compile(r"[0-9a-f]{2}")
# "The file $GIT_DIR/objects/info/packs: a list of `P pack-<hex>.pack`"; "info/refs: `<hex> TAB <ref>`, peeled tags with
# `^{}`" (gitrepository-layout(5)).
_PACK_LINE = re.compile(r"P (pack-[0-9a-f]{40}\.pack)")
_REF_LINE = re.compile(r"([0-9a-f]{40})\t(refs/[^\s^]+)")
_JOBS = 4
_BREAKS_IN_A_ROW = 5
# From here on a transfer is announced: on a slow line it takes half a minute.
_LARGE_BYTES = 20_000_000
# After so many bytes it is decided whether a line is fast. On one that is slower, `git index-pack` has done its work by
# the time that a pack has come.
_TRIAL_BYTES = 4_000_000
_FAST_BYTES_S = 40_000_000


class NotARepositoryError(InputError):
    """There is no repository where a store has to have one."""


class DamagedPackError(SourceError):
    """A pack from a web server is not what git can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What came: the refs, and whether all that they need is known to be there."""

    refs: Refs
    is_whole: bool


def is_url(address: str) -> bool:
    """Whether an address is on the web; otherwise it is a path."""
    return address.startswith(("http://", "https://"))


def bring(
    address: str, repository: Path, packs: BoundPacks, *, transport: Transport, reporter: Reporter = SILENT
) -> Brought:
    """Bring all objects of a bare repository into a new one, whose git folder is `repository`.

    `address` is an absolute path or an http(s) URL. Drafts are left out. `packs` are those that a release bound, all of
    which together are whole.

    Raises:
        NotARepositoryError: there is none.
        SourceError: a file or the server refused, or what came is damaged.
    """
    if is_url(address):
        brought = _bring_from_web(address, repository, packs, transport, reporter)
    else:
        # What is linked here is not read: git says so when it meets what is damaged, as in any clone by path.
        brought = Brought(refs=_bring_from_folder(Path(address), repository), is_whole=False)
    refs = {name: value for name, value in brought.refs.items() if name.startswith(("refs/heads/", "refs/tags/"))}
    return replace(brought, refs=refs)


def _bring_from_folder(source: Path, repository: Path) -> Refs:
    """Hard links where the file system allows it, as `git clone` does: packs never change."""
    if not (source / "HEAD").is_file():
        raise NotARepositoryError(
            f"expected a repository at {source}, found none: restore the store from a copy, or ask its steward to"
        )
    refs = Repository(source).refs()
    for folder in (source / "objects").iterdir():
        if folder.name == "pack":
            names = [path.name for path in folder.iterdir() if path.suffix in _PACK_FILES]
        elif _LOOSE_FOLDER.fullmatch(folder.name):
            names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        else:
            continue
        target = repository / "objects" / folder.name
        target.mkdir(exist_ok=True)
        for name in names:
            _link_or_copy(folder / name, target / name)
    return refs


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _bring_from_web(url: str, repository: Path, bound: BoundPacks, transport: Transport, reporter: Reporter) -> Brought:
    refs: Refs = {}
    for line in _read(transport, f"{url}/info/refs", url).splitlines():
        if match := _REF_LINE.fullmatch(line):
            refs[match[2]] = ObjectId(match[1])
    packs = _PACK_LINE.findall(_read(transport, f"{url}/objects/info/packs", url))
    reporter.start("receiving history", None, "bytes")

    def receive(name: str) -> bool:
        address, pack = f"{url}/objects/pack/{name}", bound.get(name.removesuffix(".pack"))
        if pack is None:
            receive_pack(address, repository, transport, reporter)
            return False
        return _receive_bound(address, pack, repository, transport, reporter)

    outcomes = dict(map_unordered(receive, packs, jobs=_JOBS, at_once=_JOBS))
    reporter.finish()
    missing = _missing(repository, refs.values())
    _bring_loose(url, missing, repository, transport)
    # One more, and refs may need what is in that one: a release is being made.
    as_bound = all(outcomes.values()) and bound.keys() == {name.removesuffix(".pack") for name in outcomes}
    is_whole = as_bound and not _missing(repository, missing)
    return Brought(refs=refs, is_whole=is_whole)


def _read(transport: Transport, address: str, repository: str) -> str:
    try:
        return transport.read(address).decode(errors="replace")
    except RefusedError as error:
        raise NotARepositoryError(
            f"expected a repository at {repository}, but {error}: its steward has to run git update-server-info in it, "
            "or to restore the store from a copy"
        ) from error


class _Pace:
    """Notices a slow line: there a pack's index, an eighth of its size, is sooner made than received."""

    def __init__(self) -> None:
        self.is_slow = False
        self._begun_s = time.monotonic()
        self._is_known = False

    def is_enough(self, position: int) -> bool:
        """Whether to stop after so many bytes."""
        if not self._is_known and position >= _TRIAL_BYTES:
            self._is_known = True
            self.is_slow = position < _FAST_BYTES_S * (time.monotonic() - self._begun_s)
        return self.is_slow


def _receive_bound(url: str, pack: BoundPack, repository: Path, transport: Transport, reporter: Reporter) -> bool:
    """Receive a pack that a release bound; False if it is another, or may be: git has looked at it then.

    It is taken as it is, with its index. Where the line is slow, or either is other than it was bound, git makes the
    index of what comes.
    """
    final = repository / "objects" / "pack" / url.rpartition("/")[2]
    pace = _Pace()
    with tempfile.TemporaryDirectory(dir=final.parent, prefix="tmp_") as folder:
        new, index = Path(folder) / "new.pack", Path(folder) / "new.idx"
        address = f"{url.removesuffix('.pack')}.idx"
        if _receive_file(url, pack.pack, new, transport, reporter, pace.is_enough) and _receive_file(
            address, pack.index, index, transport, reporter
        ):
            # git takes a pack for there once its index is.
            new.rename(final)
            index.rename(final.with_suffix(".idx"))
            return True
        begun = new.read_bytes() if pace.is_slow else b""
    return receive_pack(url, repository, transport, reporter, begun=begun) == pack.pack


def _receive_file(
    url: str,
    wanted: BoundFile,
    target: Path,
    transport: Transport,
    reporter: Reporter,
    is_enough: Callable[[int], bool] = lambda _: False,
) -> bool:
    """Receive a file, unless before its end it is enough; whether it is there and the one that was bound."""
    sha256 = hashlib.sha256()
    with target.open("wb") as stream:

        def write(block: bytes) -> None:
            sha256.update(block)
            stream.write(block)

        def stop(position: int) -> bool:
            return position > wanted.size_bytes or is_enough(position)

        try:
            size_bytes = _pump(url, write, transport, reporter, is_enough=stop)
        except RefusedError:
            return False
        stream.flush()
        os.fsync(stream.fileno())
    target.chmod(0o444)
    return BoundFile(size_bytes=size_bytes, sha256=sha256.hexdigest()) == wanted


def receive_pack(
    url: str, repository: Path, transport: Transport, reporter: Reporter = SILENT, *, begun: bytes = b""
) -> BoundFile:
    """Stream a pack into `git index-pack`, going on after breaks as long as there is progress; returns what came.

    `begun` is what has come of it already.
    """
    sha256, size_bytes = hashlib.sha256(), 0
    command = ["git", "index-pack", "--stdin"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command,
            cwd=repository,
            env=git_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):
        pipe = process.stdin
        assert pipe is not None  # noqa: S101 - for the type checker

        def write(block: bytes) -> None:
            sha256.update(block)
            pipe.write(block)

        try:
            write(begun)
            size_bytes = _pump(url, write, transport, reporter, start=len(begun))
            pipe.close()
        except BrokenPipeError:
            # It has seen enough to refuse; why is asked below.
            process.stdin = None
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            said.seek(0)
            raise DamagedPackError(f"{url}: {said.read().decode(errors='replace').strip()}: ask the store's steward")
    return BoundFile(size_bytes=size_bytes, sha256=sha256.hexdigest())


def _pump(
    url: str,
    write: Callable[[bytes], object],
    transport: Transport,
    reporter: Reporter,
    *,
    start: int = 0,
    is_enough: Callable[[int], bool] = lambda _: False,
) -> int:
    """Hand over a file's bytes from `start` on as they come, until it is enough; returns the position reached."""
    position, breaks = start, 0
    while True:
        before = position
        try:
            with transport.open(url, start=position) as response:
                if not before and (response.total_bytes or 0) > _LARGE_BYTES:
                    reporter.message(f"receiving {(response.total_bytes or 0) / 1e6:.0f} MB from {url}")
                for block in _blocks_from(response, position):
                    write(block)
                    position += len(block)
                    reporter.advance(len(block))
                    if is_enough(position):
                        return position
        except BrokenTransferError:
            breaks = 1 if position > before else breaks + 1
            if breaks == _BREAKS_IN_A_ROW:
                raise
            transport.wait(breaks - 1)
        else:
            return position


def _blocks_from(response: Response, position: int) -> Iterable[bytes]:
    """The body from byte `position` of the file on, also of a server that ignores Range and sends all of it."""
    skip = position - response.start
    for block in response.chunks():
        if skip < len(block):
            yield block[skip:] if skip else block
        skip = max(0, skip - len(block))


def _missing(repository: Path, ids: Iterable[ObjectId]) -> list[ObjectId]:
    """Which of these objects are not there."""
    if not (wanted := sorted(set(ids))):
        return []
    said = call_git("cat-file", "--batch-check", cwd=repository, data="".join(f"{name}\n" for name in wanted).encode())
    lines = said.decode().splitlines()
    return [name for name, line in zip(wanted, lines, strict=True) if line.endswith(" missing")]


def _bring_loose(url: str, ids: list[ObjectId], repository: Path, transport: Transport) -> None:
    """Objects in files of their own, such as the tags of releases."""

    def receive(name: ObjectId) -> None:
        address = f"{url}/objects/{name[:2]}/{name[2:]}"
        try:
            data = transport.read(address)
        except RefusedError:
            # It may be in the pack of a store that is being repacked: git itself is asked in the end.
            return
        try:
            found = hashlib.sha1(zlib.decompress(data), usedforsecurity=False).hexdigest()
        except zlib.error:
            found = "no object"
        if found != name:
            raise DamagedPackError(f"{address}: expected the object {name}, got {found}: ask the store's steward")
        path = repository / "objects" / name[:2] / name[2:]
        write_bytes(path, data)
        path.chmod(0o444)

    for _ in map_unordered(receive, ids, jobs=_JOBS * 2):
        pass


def check_complete(repository: Path, commits: Iterable[ObjectId], *, deep: bool) -> None:
    """Check that commits are there; `deep`: with all that they need, down to the last file.

    Raises:
        GitError: something is not there.
    """
    options = ("--objects", "--quiet") if deep else ("--quiet", "--no-walk")
    call_git("rev-list", *options, *commits, cwd=repository)
