"""What verifying found: every file that is not as it should be by name, the others counted. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from opendata_pkg.html import html_table
from opendata_pkg.text import counted, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHOWN_ROWS = 50
"""How many findings a notebook draws before it only counts."""

# What could end a line or steer a terminal.


class Status(StrEnum):
    """What was found of one file, in the order in which totals name them."""

    OK = "ok"
    RENAMED = "renamed"
    UNVERIFIABLE = "unverifiable"
    ABSENT = "not here"
    EXTRA = "extra"
    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


FAULTS = frozenset({Status.MISSING, Status.CHANGED, Status.UNREADABLE})
"""What makes a check fail. The others are told: a note beside the data, or a file named otherwise, harms nobody."""

_IN_WORDS = {
    Status.OK: "as recorded",
    Status.RENAMED: "renamed",
    Status.UNVERIFIABLE: "without a digest",
    Status.ABSENT: "not here",
    Status.EXTRA: "extra",
    Status.MISSING: "missing",
    Status.CHANGED: "changed",
    Status.UNREADABLE: "unreadable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One file that is to be told of by name.

    `path` is relative to what was verified, with `/`. `expected` and `found` are digests such as `sha256:HEX`, commit
    ids or sizes, where they are known; `found_at` is where the content of a renamed file is.
    """

    status: Status
    path: str
    note: str
    expected: str | None = None
    found: str | None = None
    found_at: str | None = None

    def to_dict(self) -> dict[str, str]:
        """The finding as JSON values; what is not known is left out."""
        fields = {
            "status": self.status.value,
            "path": self.path,
            "note": self.note,
            "expected": self.expected,
            "found": self.found,
            "found_at": self.found_at,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def __str__(self) -> str:
        """One line, whatever the names hold."""
        return visible(f"{self.status.value}: {self.path}: {self.note}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What came of a check of `target` against `against`.

    `counts` has every status that occurred; `size_bytes` is the sum of the sizes of the files that are as recorded,
    `read_bytes` how many bytes were read for it. `findings` are sorted by path; `notes` are sentences on the whole.
    """

    target: str
    against: str
    counts: Mapping[Status, int]
    size_bytes: int
    read_bytes: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, changed or unreadable."""
        return not any(self.counts.get(status) for status in FAULTS)

    @property
    def checked(self) -> int:
        """How many files were to be there: all but extra ones."""
        return sum(count for status, count in self.counts.items() if status is not Status.EXTRA)

    def named(self, status: Status) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.status is status)

    def to_dict(self) -> dict[str, Any]:
        """The verification as JSON values."""
        return {
            "target": self.target,
            "against": self.against,
            "ok": self.ok,
            "checked": self.checked,
            "counts": {status.value: self.counts.get(status, 0) for status in Status},
            "bytes": self.size_bytes,
            "read_bytes": self.read_bytes,
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """The totals as one sentence."""
        words = [f"{self.counts[status]:,} {_IN_WORDS[status]}" for status in Status if self.counts.get(status)]
        return visible(
            f"checked {counted(self.checked, 'file')} of {self.target} against {self.against}, "
            f"{counted(self.size_bytes, 'byte')} as recorded: " + (", ".join(words) or "nothing to check")
        )

    def __str__(self) -> str:
        """One line a finding, then the notes, then the totals."""
        return "\n".join([*map(str, self.findings), *map(visible, self.notes), self.summary()])

    def __repr__(self) -> str:
        """The totals: findings may be many."""
        return f"<Verification: {self.summary()}>"

    def _repr_html_(self) -> str:
        """A small table for notebooks; the whole is in `findings`."""
        rows = [
            (finding.status.value, visible(finding.path), visible(finding.note))
            for finding in self.findings[:_SHOWN_ROWS]
        ]
        if len(self.findings) > _SHOWN_ROWS:
            rows.append(("", f"and {len(self.findings) - _SHOWN_ROWS:,} more", ""))
        verdict = "as recorded" if self.ok else "not as recorded"
        caption = "; ".join([f"{verdict}: {self.summary()}", *map(visible, self.notes)])
        return html_table(caption, ("status", "path", "what") if rows else (), rows)


@dataclass(slots=True)
class Tally:
    """Counts and findings as they come in, in any order; `result` puts them in theirs."""

    counts: Counter[Status] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    size_bytes: int = 0
    read_bytes: int = 0

    def good(self, size_bytes: int) -> None:
        """Count a file that is as recorded."""
        self.counts[Status.OK] += 1
        self.size_bytes += size_bytes

    def add(self, finding: Finding) -> None:
        """Count a file that is to be named."""
        self.counts[finding.status] += 1
        self.findings.append(finding)

    def result(self, *, target: str, against: str, notes: Iterable[str] = ()) -> Verification:
        """Everything, in byte order of the paths."""
        return Verification(
            target=target,
            against=against,
            counts={status: self.counts[status] for status in Status if self.counts[status]},
            size_bytes=self.size_bytes,
            read_bytes=self.read_bytes,
            findings=tuple(sorted(self.findings, key=_order)),
            notes=tuple(notes),
        )


def _order(finding: Finding) -> tuple[bytes, str, str]:
    return finding.path.encode(errors="surrogatepass"), finding.status.value, finding.note
