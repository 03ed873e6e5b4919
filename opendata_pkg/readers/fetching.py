"""Files without git: from the web into the cache that plain pooch reads, and from there wherever they are wanted."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendata_pkg.cache.cache import CacheItem, FileCache
from opendata_pkg.cache.target_folder import InTheWayError, NotPutError, TargetFolder, describe
from opendata_pkg.cache.wanted import Failure, Got, Wanted
from opendata_pkg.model import MismatchError, OpenDataError, SourceError
from opendata_pkg.plan.selection import Rules
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.targets.opening import open_target
from opendata_pkg.text import counted
from opendata_pkg.web.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pooch import Pooch

    from opendata_pkg.cache.helper import Helper
    from opendata_pkg.plan.selection import SelectedFile, Selection

DEFAULT_JOBS = 16


class IncompleteFetchError(OpenDataError):
    """Some files could not be had; `failures` are they. The exit status is 6 if bytes were wrong, else 5."""

    def __init__(self, failures: Sequence[Failure], files: int) -> None:
        self.failures = tuple(failures)
        is_wrong = any(isinstance(failure.error, MismatchError) for failure in self.failures)
        self.exit_status = MismatchError.exit_status if is_wrong else SourceError.exit_status
        lines = "".join(f"\n  {_sentence(failure)}" for failure in self.failures)
        super().__init__(
            f"{len(self.failures):,} of {counted(files, 'file')} could not be had; all others are there{lines}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """What a fetch brought: `got` by path in the catalogue's tree, and where each file is for whoever asked (`paths`).

    `downloaded` files came from the web, with so many bytes; the rest was in the cache. `processed` is what the
    processor made of each file.
    """

    snapshot: str
    got: dict[str, Got]
    paths: dict[str, Path]
    failures: tuple[Failure, ...]
    processed: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """How much was brought: `paths` has the files."""
        return f"<FetchResult: {counted(len(self.paths), 'file')}, {self.downloaded:,} of them downloaded>"

    @property
    def downloaded(self) -> int:
        """How many files came from the web."""
        return sum(got.url != "" for got in self.got.values())

    @property
    def downloaded_bytes(self) -> int:
        """How many bytes they have."""
        return sum(got.size_bytes for got in self.got.values() if got.url)

    def check_complete(self) -> None:
        """Raise IncompleteFetchError if a file is missing."""
        if self.failures:
            raise IncompleteFetchError(self.failures, len(self.paths) + len(self.failures))


def fetch(
    word: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    to: Path | str | None = None,
    jobs: int = DEFAULT_JOBS,
    offline: bool = False,
    processor: Callable[[str, str, Pooch], Any] | None = None,
    reporter: Reporter = SILENT,
    early: Helper | None = None,
) -> FetchResult:
    """Bring files into the cache, each checked against its digest, and hand back where they are.

    Args:
        word: `[BRANCH][@VERSION][:PATH]` of a store, `s3://bucket/prefix`, or a snapshot's file.
        include: gitignore-style globs on paths relative to the branch; all files, if there are none.
        exclude: as `include`; these are left out.
        larger: only files of more bytes.
        smaller: only files of fewer bytes.
        store: the store's path or URL, by default the catalogue's.
        catalogue: another catalogue than the shipped one.
        endpoint_url: an S3 server other than Amazon's.
        to: a folder that also gets each file, at its path relative to the branch, sharing its blocks with the cache
            where the file system can.
        jobs: how many transfers at a time.
        offline: use what was read before; the network is never touched.
        processor: called as pooch calls its processors, such as `pooch.Unzip()`, for each file.
        reporter: is told of progress.
        early: a helper (`bringing.early_helper`) that may be there already.

    Returns:
        What was brought, and what could not be: see `FetchResult.check_complete`.

    Raises:
        NotFoundError: there is no such branch, version or file; names what is near.
        SourceError: the store cannot be read, or the disk is full.
    """
    target = open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )
    rules = Rules(include=tuple(include), exclude=tuple(exclude), larger=larger, smaller=smaller)
    selection = target.select(rules, reporter=reporter)
    cache = FileCache.open()
    with Transport.create(connections=jobs, offline=offline) as transport:
        items = _items(selection)
        outcomes = list(cache.bring(items, transport=transport, jobs=jobs, reporter=reporter, early=early))
    got = {outcome.wanted.name: outcome for outcome in outcomes if isinstance(outcome, Got)}
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    # In the order of the selection, whatever came first.
    got = {path: got[path] for path in selection.table["path"].to_pylist() if path in got}
    paths = {path: brought.path for path, brought in got.items()}
    if to is not None:
        placed = dict(_place(got, Path(to), target.prefix, failures))
        paths = {path: placed[path] for path in got if path in placed}
    failures.sort(key=lambda failure: failure.wanted.name.encode())
    processed = {} if processor is None else _process(processor, got, cache, selection)
    return FetchResult(
        snapshot=selection.origin.snapshot, got=got, paths=paths, failures=tuple(failures), processed=processed
    )


def pooch(
    word: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> Pooch:
    """A `pooch.Pooch` of a dataset: registry and versioned URLs filled in, its folder the cache's of that snapshot.

    What `fetch` brought it finds, and the reverse. Names are paths in the catalogue's tree. A file without a digest has
    None in the registry, and pooch does not check it. Parameters and errors are those of `fetch`.
    """
    target = open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )
    rules = Rules(include=tuple(include), exclude=tuple(exclude), larger=larger, smaller=smaller)
    return make_pooch(target.select(rules, reporter=reporter), FileCache.open())


def make_pooch(selection: Selection, cache: FileCache) -> Pooch:
    """A `pooch.Pooch` of the files of a selection, whose folder is the cache's."""
    import pooch as library  # noqa: PLC0415 - takes a while to import; whoever finds all in the cache needs none

    files = list(selection.files())
    return library.Pooch(
        path=cache.snapshot_folder(selection.origin.snapshot),
        base_url="",
        registry={file.path: file.digest for file in files},
        urls={file.path: file.url for file in files if file.url is not None},
    )


def wanted_of(file: SelectedFile) -> Wanted:
    """What is to be had of a selected file."""
    return Wanted(
        name=file.path,
        urls=() if file.url is None else (file.url,),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        md5=file.md5,
        etag=file.etag,
    )


def _items(selection: Selection) -> Iterator[CacheItem]:
    snapshot = selection.origin.snapshot
    for file in selection.files():
        yield CacheItem(snapshot=snapshot, path=file.path, wanted=wanted_of(file))


def _process(
    processor: Callable[[str, str, Pooch], Any], got: dict[str, Got], cache: FileCache, selection: Selection
) -> dict[str, Any]:
    """What the processor makes of each file, with the action that pooch would have had to take."""
    fetcher = make_pooch(selection, cache)
    return {
        path: processor(brought.local, "download" if brought.url else "fetch", fetcher) for path, brought in got.items()
    }


def _place(got: dict[str, Got], to: Path, prefix: str, failures: list[Failure]) -> Iterator[tuple[str, Path]]:
    """Put the files into a folder; what stands in the way stays, and is a failure of that file."""
    places = {path: path.removeprefix(prefix) for path in got}
    with TargetFolder.open(to) as folder:
        for path, place in places.items():
            try:
                if not _is_there(folder, place, got[path]):
                    folder.copy(got[path].path, place, check=lambda _: True, replace=False)
            except NotPutError as error:
                failures.append(Failure(wanted=got[path].wanted, error=error))
                continue
            yield path, to / place


def _is_there(folder: TargetFolder, place: str, got: Got) -> bool:
    """Whether a file with the same content is at the place already."""
    there = folder.look(place)
    if there is None:
        return False
    if stat.S_ISREG(there.st_mode) and there.st_size == got.size_bytes:
        with os.fdopen(folder.open_file(place), "rb", buffering=0) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == got.sha256:
                return True
    raise InTheWayError(place, describe(there))


def _sentence(failure: Failure) -> str:
    sentence = str(failure.error)
    return sentence if failure.wanted.name in sentence else f"{failure.wanted.name}: {sentence}"
