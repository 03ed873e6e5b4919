"""What commands that only look have in common: the store or catalogue that a person means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from opendata_pkg.store import Store


def open_store(store: str) -> Store:
    """The store in a folder.

    Raises:
        UsageError: it is somewhere on the web.
        NotFoundError, InputError: as `Store.open` says.
    """
    # git's and Arrow's imports are not for those who only want a catalogue.
    from opendata_pkg.store import Store

    if "://" in store:
        raise UsageError(f"expected the folder of a store, got {store}: this command reads stores on this machine")
    return Store.open(Path(store))


def catalogue_of(store: Store | None, file: Path | None) -> Catalogue:
    """The catalogue in a file, else that of a store's last release, else the one shipped.

    Raises:
        NotFoundError: the store has no release.
    """
    if file is not None:
        return Catalogue.load(file)
    if store is None:
        return shipped_catalogue()
    from opendata_pkg.lookup import last_release

    return store.read_catalogue(last_release(store).catalogue)
