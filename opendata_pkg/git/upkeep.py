"""Few packs, however many updates: small ones are put together, and kept for a while for who is still reading them.

Source: git-repack(1), `--geometric`: packs form a progression in which each has at least twice the objects of all
smaller ones together; what does not fit in is made one pack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.files import write_text
from opendata_pkg.git.packs import ids_in
from opendata_pkg.git.repository import call_git

if TYPE_CHECKING:
    from pathlib import Path

MAX_PACKS = 8
"""More packs than this in one repository are put together."""

_SUPERSEDED = "objects/info/opendata-superseded"


def put_packs_together(repository: Path, version: str) -> None:
    """Put small packs together if there are many; remove those that a release before `version` superseded.

    Superseded packs are left out of `objects/info/packs` but stay until the dataset is released again:
    a reader over http who is halfway through a clone still finds what it was told of.
    """
    note = repository / _SUPERSEDED
    if note.exists():
        released, *names = note.read_text().splitlines()
        if released != version:
            for name in names:
                # Its .idx first: without it git takes a pack for not there.
                for file in sorted((repository / "objects" / "pack").glob(f"{name}.*")):
                    file.unlink()
            note.unlink()
    kept = set(superseded(repository))
    indexes = sorted((repository / "objects" / "pack").glob("pack-*.idx"))
    # A .keep is git's own way to say that a pack is to stay.
    packs = [path for path in indexes if path.stem not in kept and not path.with_suffix(".keep").exists()]
    if len(packs) <= MAX_PACKS:
        return
    small = _below_progression(packs)
    # Copied as they are: what is packed already is packed anew only where git looks for deltas.
    names = sorted({raw_id.hex() for path in small for raw_id in ids_in(path)})
    listing = "".join(f"{name}\n" for name in names).encode()
    call_git("pack-objects", "--quiet", "--window=0", "objects/pack/pack", cwd=repository, data=listing)
    lines = [version, *sorted({*kept, *(path.stem for path in small)})]
    write_text(note, "".join(f"{line}\n" for line in lines))


def refresh_server_info(repository: Path) -> None:
    """Refresh the two files in which clients over dumb HTTP read what refs and packs there are.

    gitrepository-layout(5), objects/info/packs: "P pack-….pack" lines; superseded packs are left out.
    """
    call_git("update-server-info", cwd=repository)
    if names := superseded(repository):
        listed = repository / "objects" / "info" / "packs"
        gone = {f"P {name}.pack" for name in names}
        lines = [line for line in listed.read_text().splitlines(keepends=True) if line.strip() not in gone]
        write_text(listed, "".join(lines))


def superseded(repository: Path) -> list[str]:
    """The names, `pack-<id>`, of packs all of whose objects are in another one."""
    note = repository / _SUPERSEDED
    return note.read_text().splitlines()[1:] if note.exists() else []


def _below_progression(indexes: list[Path]) -> list[Path]:
    """The packs that are to become one, so that all packs then form a progression."""
    sizes = sorted((len(ids_in(path)), path) for path in indexes)
    below = sum(size for size, _ in sizes)
    while sizes and sizes[-1][0] >= 2 * (below := below - sizes[-1][0]):
        sizes.pop()
    return [path for _, path in sizes]
