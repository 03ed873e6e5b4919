"""Keys as paths: every key gets a path that a git tree and any usual file system can hold, and that can be read back.

The rules stand in docs/explanation/paths.md. `%` is the escape character and is itself escaped, so that a path's
escapes can always be told from a key's own characters:

    %XX      a byte (UTF-8)          %empty   an empty name, as between the slashes of `a//b`
    a%file   the object `a` where there are also objects below `a/`      a%dir/   the folder, if the object was first
    a%more/  a name of over 255 bytes goes on in the next part
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PART_BYTES = 255
"""Longest name in the usual file systems."""

RESERVED = frozenset({"datapackage.json", "_opendata", ".noannex"})
"""Names at a dataset's root that are ours, and the one that would make `git annex init` refuse the clone."""

_EMPTY, _FILE, _FOLDER, _MORE = "%empty", "%file", "%dir", "%more"

# Keys of only these parts are their own paths: most keys of most buckets are. What follows decides the rest.
# (Read by Arrow's RE2 too, which knows no lookahead: hence the two classes, the first one without a dot.)
_PART = r"[ !#-$&-\-0-;=@-\[\]-}][ !#-$&-.0-;=@-\[\]-}]*"
_PLAIN = re.compile(rf"{_PART}(?:/{_PART})*")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029%\\]")

# "HFS/NTFS look-alike": HFS+ ignores these characters in names (git's utf8.c, next_hfs_char) ...
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# ... and NTFS has short names such as GIT~1 or GI7EBA~1 for .gitmodules (git's path.c, is_ntfs_dot_generic).
_SHORT_NAME = re.compile(r"(?:gi|ma|da)[^~]{0,4}~[0-9]")
_GIT_NAMES = (".git", ".mailmap", ".datalad")

_ESCAPE = re.compile(r"(?:%[0-9A-F]{2})+")


def fold(text: str) -> str:
    """What two names have in common that a file system may take for one: NFC, case folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What decides the paths of one dataset beside the keys themselves.

    `prefix` is the branch's folder in the bucket, `""` or ending in `/`. `mounts` are the folders, relative to it,
    where children are mounted. `renamed_files` and `renamed_folders` are whole keys (folders without their last slash)
    where an object and a folder have one name.
    """

    prefix: str
    mounts: tuple[str, ...] = ()
    renamed_files: frozenset[str] = frozenset()
    renamed_folders: frozenset[str] = frozenset()
    _folded_mounts: frozenset[str] = field(init=False, repr=False)
    _first_names: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Fold the mounts once."""
        object.__setattr__(self, "_folded_mounts", frozenset(fold(mount) for mount in self.mounts))
        first_names = RESERVED | {mount.split("/", 1)[0] for mount in self._folded_mounts}
        object.__setattr__(self, "_first_names", first_names)

    def path_of(self, key: str) -> str:
        """The path of an object in the dataset's tree."""
        relative = key[len(self.prefix) :]
        if (
            not self.renamed_files
            and not self.renamed_folders
            and len(relative) <= MAX_PART_BYTES
            and _PLAIN.fullmatch(relative)
            and fold(relative.split("/", 1)[0]) not in self._first_names
            and "~" not in relative
        ):
            return relative
        return "/".join(self._parts(relative))

    def paths_of(self, keys: pa.Array) -> pa.Array:
        """`path_of` of every key, in bulk where a key is its own path."""
        # Catalogues need paths too, and `opendata --help` needs no Arrow.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        from opendata_pkg.columns.arrays import replace_where, without_prefix  # noqa: PLC0415

        relative = without_prefix(keys, self.prefix)
        if self.renamed_folders:
            plain = pa.repeat(pa.scalar(value=False), len(keys))
        else:
            ours = "|".join(map(re.escape, sorted(self._first_names)))
            plain = pc.match_substring_regex(relative, f"^{_PLAIN.pattern}$")
            plain = pc.and_not(plain, pc.match_substring_regex(relative, f"(?i)^(?:{ours})(?:/|$)"))
            plain = pc.and_(plain, pc.less_equal(pc.binary_length(relative), MAX_PART_BYTES))
            if self.renamed_files:
                plain = pc.and_not(plain, pc.is_in(keys, pa.array(sorted(self.renamed_files), pa.string())))
        return replace_where(relative, pc.invert(plain), lambda name: self.path_of(self.prefix + name))

    def mount_path(self, mount: str) -> str:
        """The path at which a child is mounted: escaped as its own names demand, never for clashing with itself."""
        names = mount.split("/")
        return "/".join(
            piece
            for position, name in enumerate(names)
            for piece in _split(_escape(name, first=position == 0 and fold(name) in RESERVED))
        )

    def _parts(self, relative: str) -> list[str]:
        names = relative.split("/")
        parts: list[str] = []
        for position, name in enumerate(names):
            so_far = "/".join(names[: position + 1])
            clashes = fold(so_far) in self._folded_mounts or (position == 0 and fold(name) in RESERVED)
            part = _escape(name, first=clashes)
            whole = self.prefix + so_far
            if position == len(names) - 1:
                part += _FILE if whole in self.renamed_files else ""
            elif whole in self.renamed_folders:
                part += _FOLDER
            parts += _split(part)
        return parts


def relative_key(path: str) -> str:
    """The key, relative to the branch, of an object at that path: the inverse of `Naming.path_of`."""
    names: list[str] = []
    begun = ""
    for part in path.split("/"):
        if part.endswith(_MORE):
            begun += part.removesuffix(_MORE)
            continue
        name = (begun + part).removesuffix(_FILE).removesuffix(_FOLDER)
        begun = ""
        names.append("" if name == _EMPTY else _ESCAPE.sub(_unescape, name))
    return "/".join(names)


def _unescape(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode()


def _escape(name: str, *, first: bool) -> str:
    """One name with what cannot stand in it escaped; with `first`, its first character too, to make it another name."""
    if name == "":
        return _EMPTY
    if name in {".", ".."}:
        return "%2E" * len(name)
    escaped = _CONTROL.sub(lambda match: _percent(match[0]), name)
    if first or _is_gits(name):
        # A character that was escaped already makes the name another one by itself.
        head = name[0]
        return escaped if escaped.startswith("%") else _percent(head) + escaped[1:]
    return escaped


def _is_gits(name: str) -> bool:
    seen = _HFS_IGNORED.sub("", name).casefold()
    return seen.startswith(_GIT_NAMES) or _SHORT_NAME.match(seen) is not None


def _split(part: str) -> list[str]:
    """A name of over 255 bytes as several, cut between characters and escapes."""
    if len(part.encode()) <= MAX_PART_BYTES:
        return [part]
    room = MAX_PART_BYTES - len(_MORE)
    pieces: list[str] = []
    piece, size = "", 0
    for unit in re.findall(r"%(?:[0-9A-F]{2}|empty|file|dir)|.", part, re.DOTALL):
        length = len(unit.encode())
        if size + length > room:
            pieces.append(piece + _MORE)
            # Whatever the next piece begins with, it must not look like one of git's names.
            unit = unit if unit.startswith("%") else _percent(unit)  # noqa: PLW2901
            piece, size = "", 0
            length = len(unit)
        piece += unit
        size += length
    return [*pieces, piece]


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
