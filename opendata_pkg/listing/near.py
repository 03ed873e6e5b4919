"""What a person may have meant by a prefix under which there is nothing."""

from __future__ import annotations

import difflib
from itertools import islice
from typing import TYPE_CHECKING

from opendata_pkg.listing.pages import list_pages
from opendata_pkg.model import SourceError

if TYPE_CHECKING:
    from opendata_pkg.listing.bucket import Bucket

_PAGES = 5
_NAMES = 3
_ALIKE = 0.5


def near_prefixes(bucket: Bucket, prefix: str) -> list[str]:
    """Prefixes of the bucket that are spelled like one that has no objects: up to three, the most alike first.

    None where the folder above may not be listed: this is advice, and no reason to fail otherwise.
    """
    parent = prefix.rstrip("/")
    while parent:
        parent, _, name = parent.rpartition("/")
        folder = f"{parent}/" if parent else ""
        try:
            entries = _folder_entries(bucket, folder)
        except SourceError:
            return []
        names = {entry.removeprefix(folder): entry for entry in entries}
        if names:
            by_lower = {found.rstrip("/").casefold(): entry for found, entry in names.items()}
            near = difflib.get_close_matches(name.casefold(), by_lower, _NAMES, cutoff=_ALIKE)
            return [by_lower[match] for match in near]
    return []


def _folder_entries(bucket: Bucket, folder: str) -> list[str]:
    found: list[str] = []
    for page in islice(list_pages(bucket, folder, with_versions=False, delimiter="/"), _PAGES):
        found += page.folders
        found += [key for key in page.entries.keys if key != folder]
    return found
