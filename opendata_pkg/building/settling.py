"""What processes have written of a build: brought to disk, made known to git and read back by it, while they go on.

Whoever writes need not wait for the disk; and what waits for it does so together, which takes little longer than once.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from opendata_pkg.files import sync_file
from opendata_pkg.git.counting import count_added_links
from opendata_pkg.git.repository import BrokenRepositoryError
from opendata_pkg.store.store import DRAFT_ANNEX, DRAFT_MAIN
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from opendata_pkg.git.pack import WrittenPack
    from opendata_pkg.git.repository import Repository
    from opendata_pkg.model import ObjectId

_AT_ONCE = 8
# Of so much git reads quicker than it starts.
_DATASETS_AT_ONCE = 32
_FILES_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A dataset of which all is written, and nothing is known to anybody yet.

    `files` are in it now, `before` in the last release, of which `new` may be others. `staging` is what the release
    will publish of it.
    """

    name: str
    repository: Repository
    staging: Path
    main: ObjectId
    annex: ObjectId
    files: int
    before: int
    new: int
    is_new_commit: bool


class Settling:
    """Takes packs and the datasets they are of. Nothing of them is to be relied on before `finish` has returned."""

    def __init__(self) -> None:
        """No thread is started before there is work."""
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._begun: list[Future[None]] = []
        self._packs: dict[str, list[Future[None]]] = {}
        self._unread: list[tuple[Drafted, Future[None]]] = []

    def take_pack(self, name: str, pack: WrittenPack) -> None:
        """Publish a pack of a dataset."""
        self._packs.setdefault(name, []).append(self._begin(pack.publish))

    def take(self, dataset: Drafted) -> None:
        """Settle a dataset, all of whose packs were taken; raises what `finish` raises, if it is known already."""
        done = self._begin(_settle, dataset, self._packs.pop(dataset.name, []))
        if dataset.is_new_commit:
            self._unread.append((dataset, done))
        if len(self._unread) >= _DATASETS_AT_ONCE or sum(one.new for one, _ in self._unread) >= _FILES_AT_ONCE:
            self._read_back()
        for future in [future for future in self._begun if future.done()]:
            self._begun.remove(future)
            future.result()

    def finish(self) -> None:
        """Wait until all that was taken is on disk, and git has read it.

        Raises:
            BrokenRepositoryError: git reads other files than were to be written.
            GitError: git cannot read what was written.
            OSError: as the system says, such as of a full disk.
        """
        if self._unread:
            self._read_back()
        for future in self._begun:
            future.result()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is under way; what is not, is left."""
        self._pool.shutdown(cancel_futures=True)

    def _read_back(self) -> None:
        self._begin(_check_written, self._unread)
        self._unread = []

    def _begin(self, function: Callable[..., None], *arguments: object) -> Future[None]:
        # One pool takes up all work in the order given: whoever waits for a result there waits for what is under way.
        future = self._pool.submit(function, *arguments)
        self._begun.append(future)
        return future


def _settle(dataset: Drafted, packs: Sequence[Future[None]]) -> None:
    """Bring a dataset to disk, and set its draft refs: what they name is there by then."""
    for pack in packs:
        pack.result()
    dataset.repository.set_refs({DRAFT_MAIN: dataset.main, DRAFT_ANNEX: dataset.annex})
    for path in dataset.repository.unsynced(DRAFT_MAIN, DRAFT_ANNEX):
        sync_file(path)
    for folder, _, names in os.walk(dataset.staging):
        for name in names:
            sync_file(Path(folder, name))


def _check_written(datasets: Sequence[tuple[Drafted, Future[None]]]) -> None:
    """Read back what was written: as many annexed files as there are to be, by git's own count.

    That many more or less than were released, where there was a release; what is as it was is not read again.
    """
    for _, done in datasets:
        done.result()
    found = count_added_links([(one.repository.path, one.main) for one, _ in datasets])
    for dataset, _ in datasets:
        added = found.get(dataset.main)
        if added is None or dataset.before + added != dataset.files:
            raise BrokenRepositoryError(
                f"wrote {counted(dataset.files, 'file')} of {dataset.name}, but git reads "
                f"{'no commit' if added is None else dataset.before + added} in {dataset.repository.path}: "
                "nothing was released; check the disk and build again"
            )
