"""Reading from a store: a dataset of a release, as something that files can be selected of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.plan.selection import Origin, Selection, nothing_selected
from opendata_pkg.store.contents import read_files
from opendata_pkg.store.lookup import find_in_releases, parse_dataset
from opendata_pkg.store.published import PublishedStore
from opendata_pkg.targets.target import EVERYTHING, Target

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.plan.selection import Rules
    from opendata_pkg.progress import Reporter
    from opendata_pkg.store.state import DatasetEntry, State


@dataclass(frozen=True, kw_only=True, repr=False)
class StoreTarget(Target):
    """A dataset of a release, with all below it."""

    store: PublishedStore
    state: State
    entry: DatasetEntry

    @property
    def where(self) -> str:
        """`BRANCH@VERSION`; the source of what is of no release."""
        if self.origin.version is None:
            return self.origin.source
        return f"{self.origin.branch}@{self.origin.version}"

    @property
    def prefix(self) -> str:
        """The branch's folder."""
        return f"{self.entry.branch}/" if self.entry.branch else ""

    def _figures(self) -> dict[str, int]:
        return {"files": self.entry.subtree_files, "bytes": self.entry.subtree_bytes}

    def _select(self, rules: Rules, reporter: Reporter) -> Selection:
        dataset = self.store, self.state, self.entry.branch
        found = read_files(*dataset, rules, reporter=reporter)
        if not found.num_rows:
            # To name what is near, all must be looked through.
            every = read_files(*dataset, EVERYTHING, reporter=reporter)
            raise nothing_selected([every], rules, prefix=self.prefix, where=self.where)
        return Selection(origin=self.origin, rules=rules, table=found, catalogue=self.catalogue)


def open_dataset(word: str, store: str | Path, *, endpoint_url: str | None, offline: bool) -> StoreTarget:
    """The dataset of a store that `[BRANCH][@VERSION][:PATH]` means; raises as `target.open_target` does."""
    parsed = parse_dataset(word)
    opened = PublishedStore.open(store, endpoint_url=endpoint_url, offline=offline)
    state, known, entry = find_in_releases(opened, parsed)
    assert state.version is not None  # noqa: S101 - releases have one
    origin = Origin(
        source=opened.where,
        branch=entry.branch or ROOT,
        version=state.version,
        snapshot=state.snapshot,
        commit=entry.written.commits.main,
        date=opened.date_of(state.version)[:10],
    )
    return StoreTarget(origin=origin, catalogue=known, path=parsed.path, store=opened, state=state, entry=entry)
