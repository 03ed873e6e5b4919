"""Few packs, however many updates: small ones are put together, and kept for a while for who is still reading them.

Source: git-repack(1), `--geometric`: packs form a progression in which each has at least twice the objects of all
smaller ones together; what does not fit in is made one pack.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from opendata_pkg.files import write_text
from opendata_pkg.git.packs import ids_in
from opendata_pkg.git.repository import BrokenRepositoryError, GitError, Repository, call_git

if TYPE_CHECKING:
    from pathlib import Path

MAX_PACKS = 8
"""More packs than this in one repository are put together."""

_SUPERSEDED = "objects/info/opendata-superseded"
_PACK_NAME = re.compile(r"pack-[0-9a-f]{40}")
# What these refs name is known without a look: commits, and tags of commits.
_TAGS = "refs/tags/"
_OUR_REFS = ("refs/heads/", "refs/opendata/", _TAGS)


def put_packs_together(repository: Path, version: str) -> None:
    """Put small packs together if there are many; remove those that a release before `version` superseded.

    Superseded packs are left out of `objects/info/packs` but stay until the dataset is released again:
    a reader over http who is halfway through a clone still finds what it was told of.
    """
    note = repository / _SUPERSEDED
    if note.exists() and note.read_text().partition("\n")[0] != version:
        for name in superseded(repository):
            # Its .idx first: without it git takes a pack for not there.
            for file in sorted((repository / "objects" / "pack").glob(f"{name}.*")):
                file.unlink()
        # A steward's index of several packs may name these; without it, git looks into each pack's own.
        for file in (repository / "objects" / "pack").glob("multi-pack-index*"):
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
    made = call_git("pack-objects", "--quiet", "--window=0", "objects/pack/pack", cwd=repository, data=listing)
    # Where one of them holds all, as after a release that was killed here, that is what is made again: it stays.
    gone = {path.stem for path in small} - {f"pack-{name}" for name in made.decode().split()}
    lines = [version, *sorted({*kept, *gone})]
    write_text(note, "".join(f"{line}\n" for line in lines))


def refresh_server_info(repository: Path) -> None:
    """Refresh the two files in which clients over dumb HTTP read what refs and packs there are.

    Whoever holds the store's lock writes them without git, which takes longer to start, as long as all refs are of the
    kinds that a release sets. Superseded packs are left out.
    """
    refs = _listed_refs(repository)
    if refs is None:
        try:
            call_git("update-server-info", cwd=repository)
        except GitError as error:
            raise BrokenRepositoryError(
                f"git cannot list the refs of {repository} for readers over the web ({error}): restore what git fsck "
                "misses there, or remove the refs that name it if they are not the store's, then run the same again"
            ) from error
    else:
        write_text(repository / "info" / "refs", refs, sync=False)
    # gitrepository-layout(5), objects/info/packs: lines "P pack-<id>.pack"; git puts an empty one behind them.
    kept, packs = set(superseded(repository)), repository / "objects" / "pack"
    names = sorted(path.stem for path in packs.glob("*.pack") if path.with_suffix(".idx").exists())
    lines = [f"P {name}.pack\n" for name in names if name not in kept]
    write_text(repository / "objects" / "info" / "packs", "".join([*lines, "\n"]), sync=False)


def _listed_refs(repository: Path) -> str | None:
    """`info/refs` as git writes it; None where that takes git, which knows every kind of ref and object.

    gitprotocol-http(5), "Dumb Server Response": lines "<id> TAB <name>", sorted by name in the C locale, and behind
    that of an annotated tag "<id> TAB <name>^{}" with the object that it is of.
    """
    found = Repository(repository)
    if not found.has_loose_refs_only():
        return None
    lines: list[str] = []
    # As git does: names that begin with a dot are none of refs.
    for path in sorted((path for path in (repository / "refs").rglob("[!.]*") if path.is_file()), key=os.fsencode):
        name = path.relative_to(repository).as_posix()
        value = found.head(name) if name.startswith(_OUR_REFS) else None
        if value is None:
            return None
        lines.append(f"{value}\t{name}\n")
        if name.startswith(_TAGS):
            commit = found.tagged_commit(value)
            if commit is None:
                return None
            lines.append(f"{commit}\t{name}^{{}}\n")
    return "".join(lines)


def superseded(repository: Path) -> list[str]:
    """The names, `pack-<id>`, of packs all of whose objects are in another one."""
    note = repository / _SUPERSEDED
    # Of what a disk or a person may have made of it, nothing is taken for a name that is none.
    return list(filter(_PACK_NAME.fullmatch, note.read_text().splitlines()[1:])) if note.exists() else []


def _below_progression(indexes: list[Path]) -> list[Path]:
    """The packs that are to become one, so that all packs then form a progression."""
    sizes = sorted((len(ids_in(path)), path) for path in indexes)
    below = sum(size for size, _ in sizes)
    while sizes and sizes[-1][0] >= 2 * (below := below - sizes[-1][0]):
        sizes.pop()
    return [path for _, path in sizes]
