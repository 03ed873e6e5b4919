"""What a person names to read from, as something that files can be selected of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opendata_pkg.model import UsageError
from opendata_pkg.plan.selection import Origin, Rules, Selection
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from opendata_pkg.catalogue.catalogue import Catalogue

EVERYTHING = Rules()


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Something that files can be selected of. `path` is the part of the word after its colon."""

    origin: Origin
    catalogue: Catalogue | None
    path: str | None = None

    def select(self, rules: Rules = EVERYTHING, *, reporter: Reporter = SILENT) -> Selection:
        """The files that the rules mean, with the path that was named with the target.

        Raises:
            EmptySelectionError: none; names what is near.
            UsageError: a glob is not in gitignore's syntax, or two paths are given.
        """
        return self._select(self.asked(rules), reporter)

    def asked(self, rules: Rules) -> Rules:
        """The rules as they are recorded, with the path that was named with the target.

        Raises:
            UsageError: two paths are given.
        """
        if self.path is not None:
            if rules.path is not None:
                raise UsageError(f"expected one path, got {self.path} and {rules.path}")
            rules = replace(rules, path=self.path)
        return rules.normal()

    def __repr__(self) -> str:
        """What was named, and where: not all that is known of it."""
        path = "" if self.path is None else f":{self.path}"
        return f"<{type(self).__name__} {self.where}{path} of {self.origin.source}>"

    def _repr_html_(self) -> str:
        """What it is, as notebooks show it."""
        from opendata_pkg.catalogue.branch import ROOT  # noqa: PLC0415 - notebooks have time
        from opendata_pkg.html import html_table  # noqa: PLC0415

        origin = self.origin
        title = None
        if self.catalogue is not None:
            path = "" if origin.branch == ROOT else origin.branch
            title = self.catalogue.branches[path].title
        facts = {
            "title": title,
            "source": origin.source,
            "path": self.path,
            "version": origin.version,
            "date": origin.date,
            "commit": origin.commit,
            "snapshot": origin.snapshot,
            **self._figures(),
        }
        return html_table(self.where, (), [(name, value) for name, value in facts.items() if value is not None])

    @abstractmethod
    def _figures(self) -> dict[str, int]:
        """How much it holds."""

    @property
    @abstractmethod
    def where(self) -> str:
        """How messages name it."""

    @property
    @abstractmethod
    def prefix(self) -> str:
        """The folder that paths in rules are relative to, with its slash; empty for all."""

    @abstractmethod
    def _select(self, rules: Rules, reporter: Reporter) -> Selection:
        """`select`, by what `asked` says."""
