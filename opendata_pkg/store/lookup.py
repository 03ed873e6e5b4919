"""Finding a dataset in a store: by the words people use for it, in a release, or told where else to look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.catalogue.catalogue import UnknownBranchError
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.paths import fold

if TYPE_CHECKING:
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.store.published import PublishedStore
    from opendata_pkg.store.state import DatasetEntry, State

_NEAREST_MAX = 3
_WORD = re.compile(r"(?P<branch>[^@:]*)(?:@(?P<version>[^@:]+))?(?::(?P<path>.+))?", re.DOTALL)


class NotADatasetWordError(InputError):
    """A word that does not read as `[BRANCH][@VERSION][:PATH]`."""

    def __init__(self, text: str) -> None:
        hint = ": a store's URL goes after --store" if "://" in text else ""
        super().__init__(f"expected [BRANCH][@VERSION][:PATH], such as Model_Data@2026.1.0, got {text!r}{hint}")


class NoReleaseError(NotFoundError):
    """A store has no release yet."""


class NoObjectsError(NotFoundError):
    """A branch is described, but no dataset of a release. `nearest` are branches that have objects there."""

    def __init__(self, branch: str, version: str, last: str | None, nearest: tuple[str, ...]) -> None:
        self.branch, self.version, self.last, self.nearest = branch, version, last, nearest
        had = f", but {last} has: ask for {branch}@{last}" if last is not None else ""
        others = f"; the nearest branches that have some are {', '.join(nearest)}" if nearest else ""
        super().__init__(f"branch {branch} has no objects in version {version}{had}{others}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetWord:
    """`[BRANCH][@VERSION][:PATH]`: a branch (the root if it is empty), a version (None: the last), a path below it."""

    branch: str
    version: str | None
    path: str | None


def parse_dataset(text: str) -> DatasetWord:
    """Take a word apart.

    Raises:
        NotADatasetWordError: it is none.
    """
    match = _WORD.fullmatch(text)
    # A URL would be read as the branch `https` and a path, which none in a tree is.
    if match is None or (match["path"] or "").startswith("//"):
        raise NotADatasetWordError(text)
    return DatasetWord(branch=match["branch"] or ROOT, version=match["version"], path=match["path"])


def last_release(store: PublishedStore) -> State:
    """The last release of a store.

    Raises:
        NoReleaseError: there is none.
    """
    state = store.latest()
    if state is None:
        raise NoReleaseError(
            f"no release in {store.where} yet: publish its draft with opendata release VERSION --store {store.where}"
        )
    return state


def find_dataset(store: PublishedStore, state: State, catalogue: Catalogue, branch: str) -> DatasetEntry:
    """The dataset of a branch in a release; `catalogue` is the release's own.

    Raises:
        UnknownBranchError: the catalogue has no such branch, under this path or a former one.
        NoObjectsError: it has, but the branch holds no objects: names the last release in which it did, and the nearest
            branches that hold some.
    """
    path = catalogue.resolve(branch).path
    found = state.datasets.get(path)
    if found is None:
        others = (store.release(version) for version in reversed(store.versions()) if version != state.version)
        last = next((other.version for other in others if path in other.datasets), None)
        raise NoObjectsError(path or ROOT, state.version or "the draft", last, nearest_with_objects(path, state))
    return found


def find_in_releases(store: PublishedStore, word: DatasetWord) -> tuple[State, Catalogue, DatasetEntry]:
    """The release that a word means, its catalogue, and the dataset; a branch that is gone is told of with its last.

    Raises:
        NotFoundError: there is no such release, branch or dataset.
    """
    state = last_release(store) if word.version is None else store.release(word.version)
    catalogue = store.read_catalogue(state.catalogue)
    try:
        return state, catalogue, find_dataset(store, state, catalogue, word.branch)
    except UnknownBranchError as error:
        path = "" if word.branch == ROOT else word.branch.removesuffix("/")
        others = (store.release(version) for version in reversed(store.versions()))
        last = next((other.version for other in others if path in other.datasets), None)
        if last is None:
            folder = _as_folder(word, catalogue)
            raise UnknownBranchError(error.asked, catalogue.id, error.suggestions, as_folder=folder) from None
        nearest = nearest_with_objects(path, state)
        raise NoObjectsError(path or ROOT, state.version or "the draft", last, nearest) from None


def _as_folder(word: DatasetWord, catalogue: Catalogue) -> str:
    """The word for a folder of the deepest branch that is on the way to what was taken for a branch."""
    path = word.branch.strip("/")
    branch = catalogue.owner_of(f"{path}/").path
    version = "" if word.version is None else f"@{word.version}"
    below = path.removeprefix(f"{branch}/") if branch else path
    return f"{branch}{version}:{below}" + (f"/{word.path}" if word.path else "")


def nearest_with_objects(path: str, state: State) -> tuple[str, ...]:
    """The branches of a release that are nearest to a path in the tree and have objects; best first, a few.

    Near are those with most folders in common, then those named alike, then those with fewer folders of their own.
    """
    wanted = path.split("/")

    def distance(other: str) -> tuple[int, bool, int, bytes]:
        parts = other.split("/") if other else []
        common = next((i for i, (a, b) in enumerate(zip(wanted, parts, strict=False)) if a != b), None)
        shared = min(len(wanted), len(parts)) if common is None else common
        alike = bool(parts) and fold(parts[-1]) == fold(wanted[-1])
        return -shared, not alike, len(parts), other.encode()

    having = [other for other, entry in state.datasets.items() if entry.subtree_files and other != path]
    inner = [other for other in having if other]
    return tuple(other or ROOT for other in sorted(inner or having, key=distance)[:_NEAREST_MAX])
