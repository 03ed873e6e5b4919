"""Whether the documentation holds together: links lead somewhere, every page is reachable, code names real pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
START = ROOT / "docs" / "index.md"
SOURCES = ("opendata_pkg", "tests", "benchmarks", "schemas")

_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_PAGE_NAMED_IN_CODE = re.compile(r"\bdocs/[\w/-]+\.md\b")


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get from the usual renderers."""
    titles = _HEADING.findall(_CODE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """The links of a page within this repository: as written, the file meant, the anchor."""
    for match in _LINK.finditer(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", match["path"]):
            target = (page.parent / match["path"]).resolve() if match["path"] else page
            yield match[0][1:], target, match["anchor"] or ""


def faults() -> Iterator[str]:
    """A sentence for each thing that is wrong."""
    pages = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
    linked = {page: list(links(page)) for page in pages}
    for page, found in linked.items():
        yield from (f"{page.relative_to(ROOT)}: {fault}" for fault in dead_links(found))
    reached = reachable(linked)
    for page in pages:
        if START.parent in page.parents and page not in reached:
            yield f"{page.relative_to(ROOT)}: no page that docs/index.md leads to links to it"
    yield from pages_missing_in_code()


def dead_links(found: list[tuple[str, Path, str]]) -> Iterator[str]:
    """Links to files or headings that do not exist."""
    for written, target, anchor in found:
        if not target.exists():
            yield f"{written} leads nowhere"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{written} names a heading that is not there"


def reachable(linked: dict[Path, list[tuple[str, Path, str]]]) -> set[Path]:
    """What one gets to from the start page by links."""
    reached, waiting = {START}, [START]
    while waiting:
        new = {target for _, target, _ in linked.get(waiting.pop(), [])} - reached
        reached |= new
        waiting += new
    return reached


def pages_missing_in_code() -> Iterator[str]:
    """Pages that docstrings, comments and schemas send their readers to, and that do not exist."""
    files = [
        file for folder in SOURCES for file in sorted((ROOT / folder).rglob("*")) if file.suffix in (".py", ".json")
    ]
    for file in files:
        for named in sorted(set(_PAGE_NAMED_IN_CODE.findall(file.read_text(encoding="utf-8")))):
            if not (ROOT / named).is_file():
                yield f"{file.relative_to(ROOT)}: names {named}, which is not there"


def main() -> int:
    """Print the faults."""
    found = list(faults())
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
