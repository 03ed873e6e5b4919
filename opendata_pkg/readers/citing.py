"""`cite`: how to cite a release, a dataset version, some files, or all that a lock pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.citation import Citation, Covers, Fixity, Over, of_dataset, of_selection
from opendata_pkg.citation.gather import query_words
from opendata_pkg.citation.model import fields_of_reference
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.plan.selection import Rules
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.targets.store import StoreTarget
from opendata_pkg.targets.target import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opendata_pkg.lock.format import LockedFile, LockSelection
    from opendata_pkg.lock.lock import Lock
    from opendata_pkg.targets.target import Target


class NoReferenceError(InputError):
    """A lock keeps a citation as a line of text only."""

    def __init__(self, name: str, where: str, text: str) -> None:
        super().__init__(
            f"selection {name} of {where} has no reference, only this line: {text!r}; pin it again to have all formats"
        )


class NothingPinnedError(NotFoundError):
    """A lock has no selection."""


def cite(target: Target, rules: Rules = EVERYTHING, *, reporter: Reporter = SILENT) -> Citation:
    """The citation of what a person named: of a whole dataset or release without reading its inventory.

    Raises:
        EmptySelectionError: the rules give no file.
        BrokenStoreError: the store's descriptor is not the one that was released.
    """
    if not isinstance(target, StoreTarget) or target.path is not None or rules != EVERYTHING:
        return of_selection(target.select(rules, reporter=reporter))
    entry, state, catalogue = target.entry, target.state, target.catalogue
    assert catalogue is not None  # noqa: S101 - a store always has its catalogue
    assert target.origin.version is not None  # noqa: S101 - only drafts have no version
    assert target.origin.date is not None  # noqa: S101 - every release has a date
    prefix = f"{entry.branch}/" if entry.branch else ""
    holders = [
        catalogue.branches[path]
        for path, other in state.datasets.items()
        if path.startswith(prefix) and other.written.totals.files
    ]
    own, whole = entry.written.digest, entry.subtree_digest
    digests = [Fixity(digest=f"sha256:{own.sha256}", over=Over.OWN_FILES, incomplete=own.incomplete)]
    if whole != own:
        digests.append(Fixity(digest=f"sha256:{whole.sha256}", over=Over.SUBTREE, incomplete=whole.incomplete))
    return of_dataset(
        catalogue,
        catalogue.branches[entry.branch],
        holders=holders,
        version=target.origin.version,
        date=target.origin.date,
        commit=entry.written.commits.main,
        digests=digests,
        files=entry.subtree_files,
        size_bytes=entry.subtree_bytes,
        store=target.store.where,
        base_url=target.store.read_descriptor(entry)["od:storage"]["baseUrl"],
    )


def cite_lock(lock: Lock) -> tuple[Citation, ...]:
    """The citation of each selection of a lock, in the order of their names; it needs nothing but the lock.

    What was pinned twice, under two names, is cited once.

    Raises:
        NothingPinnedError: the lock is empty.
        NoReferenceError: a selection has no reference.
    """
    if not lock.selections:
        raise NothingPinnedError(f"{lock.path} pins nothing: pin something first with opendata pin DATASET")
    found = []
    for name, pinned in lock.selections.items():
        if pinned.reference is None:
            raise NoReferenceError(name, str(lock.path), pinned.citation)
        found.append(_of_pinned(pinned, [file for file in lock.files if file.selection == name]))
    return tuple(dict.fromkeys(found))


def _of_pinned(pinned: LockSelection, files: Sequence[LockedFile]) -> Citation:
    assert pinned.reference is not None  # noqa: S101 - looked at by the caller
    whole = not pinned.rules and pinned.version is not None
    covers = Covers.RELEASE if pinned.branch == "." else Covers.DATASET
    # A file of unknown size is a `-` in the digest, as one without digest is; those no lock has.
    gaps = sum(file.size_bytes is None for file in files)
    return Citation(
        covers=covers if whole else Covers.SELECTION,
        fixities=(Fixity(digest=pinned.digest, over=Over.SELECTION, incomplete=gaps),),
        version=pinned.version,
        query=query_words(Rules.from_dict(pinned.rules)),
        commit=pinned.commit,
        files=len(files),
        size_bytes=sum(file.size_bytes or 0 for file in files),
        **fields_of_reference(pinned.reference),
    )
