"""The folder that the demo fills and, when it is run again, empties: only of what it made itself."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from opendata_pkg.files import write_text
from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from pathlib import Path

STORE, CLONE, SNAPSHOTS, POOCH = "store", "clone", "snapshots", "pooch"
LOCK, DATA, PART = "opendata.lock", "data", "part"
"""What is left to look at."""
HOME, SERVER = "home", "server"
"""What is needed only while the demo runs."""

_MADE = (STORE, CLONE, SNAPSHOTS, POOCH, LOCK, DATA, PART, HOME, SERVER)
_MARKER = ".opendata-demo"
_MARKER_TEXT = f"Made by `opendata demo`, which replaces {', '.join(_MADE)} here when it is run again.\n"


class ForeignFolderError(UsageError):
    """The demo's folder holds something that the demo did not make."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"expected {folder} to be absent, empty or made by an earlier demo, but it holds other things, "
            "which the demo will not touch; name another folder, as in: opendata demo my-demo"
        )


def prepare_folder(folder: Path) -> None:
    """Make the demo's folder, or clear one that the demo made: only where its marker is, and only what it made.

    Raises:
        ForeignFolderError: there is something else.
    """
    is_foreign = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if is_foreign and not (folder / _MARKER).is_file():
        raise ForeignFolderError(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _MARKER, _MARKER_TEXT)
    remove_made(folder, *_MADE)


def remove_made(folder: Path, *names: str) -> None:
    """Remove some of what the demo made in its folder."""
    for name in names:
        path = folder / name
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            continue
        # git-annex takes the write permission from the folders of its contents.
        for inner in path.rglob("*"):
            if inner.is_dir() and not inner.is_symlink():
                inner.chmod(0o755)
        shutil.rmtree(path)
