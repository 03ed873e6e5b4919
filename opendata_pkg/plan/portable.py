"""Names that will trouble somebody: on Windows, or where a file system ignores case or Unicode form. Pure.

They are reported and not renamed: on the systems where most people work they are fine, and a renamed file is not what
papers and scripts call it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.paths import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# "Naming Files, Paths, and Namespaces", Win32 documentation.
_WINDOWS_SIGNS = re.compile(r'[<>:"|?*]')
_MAYBE_NOT_WINDOWS = r'(?i)[<>:"|?*]|[. ](?:/|$)|(?:^|/)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|$)'
_WINDOWS_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)


def maybe_troubled(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """The paths of which `name_troubles` may have anything to say; all, in order, if any of them may clash."""
    folders = set()
    for folder in pc.unique(pc.replace_substring_regex(paths, "/?[^/]*$", "")).to_pylist():
        name = folder
        while name and name not in folders:
            folders.add(name)
            name = name.rpartition("/")[0]
    lower, lower_folders = pc.ascii_lower(paths), {folder.lower() for folder in folders}
    may_clash = (
        not pc.all(pc.string_is_ascii(paths)).as_py()
        or len(pc.unique(lower)) < len(paths)
        or len(lower_folders) < len(folders)
        or pc.any(pc.is_in(lower, pa.array(sorted(lower_folders), pa.string()))).as_py()
    )
    return paths if may_clash else paths.filter(pc.match_substring_regex(paths, _MAYBE_NOT_WINDOWS))


def name_troubles(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(path, what is wrong with it), for files of one dataset; a folder is named once."""
    seen: dict[str, str] = {}
    told: set[str] = set()
    for path in paths:
        # From the file up, until a folder that was looked at already.
        whole = path
        while whole not in told and seen.get(folded := fold(whole)) != whole:
            if (other := seen.setdefault(folded, whole)) != whole:
                told.add(whole)
                yield whole, f"differs from {other!r} only in case or Unicode form: one file on macOS and Windows"
                break
            name = whole.rpartition("/")[2]
            if _WINDOWS_SIGNS.search(name) or name[-1] in ". " or _WINDOWS_DEVICE.fullmatch(name):
                yield whole, "cannot be a name on Windows"
            if not name.isascii() and unicodedata.normalize("NFC", name) != name:
                yield whole, "is not in Unicode form NFC: macOS shows it otherwise"
            if "/" not in whole:
                break
            whole = whole.rpartition("/")[0]
