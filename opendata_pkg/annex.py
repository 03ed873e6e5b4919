"""git-annex's own formats: keys, hash folders, symlinks and logs.

Sources: git-annex's doc/internals and doc/internals/key_format. The stock tool is the judge: tests compare thousands of
random names with `git annex examinekey`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.model import AnnexKey, InputError, Md5, S3Object, Sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

WEB_UUID = "00000000-0000-0000-0000-000000000001"
"""The UUID of the web special remote, the same in every repository."""

# "KEY to file name escapes" (doc/internals/key_format): a key becomes one path component.
_KEY_FILE = str.maketrans({"&": "&a", "%": "&s", ":": "&c", "/": "%"})

_HEX = re.compile(r"[0-9a-f]+")

# git-annex's backends that hash content → hashlib's names.
_ALGORITHMS = {
    "MD5": "md5",
    "SHA1": "sha1",
    **{f"SHA{bits}": f"sha{bits}" for bits in (224, 256, 384, 512)},
    **{f"SHA3_{bits}": f"sha3_{bits}" for bits in (224, 256, 384, 512)},
    "BLAKE2B512": "blake2b",
    "BLAKE2S256": "blake2s",
}

# Annex.Locations.hashDirMixed: 5-bit groups of a word index this alphabet, which has no vowels that could spell words.
_MIXED = "0123456789zqjxkmvwgpfZQJXKMVWGPF"

# "Its 6-bit groups' low 5 bits index the alphabet, characters paired 2 and 2 with each pair swapped": by 12 bits.
_PAIRS = [(_MIXED[bits >> 6 & 31] + _MIXED[bits & 31]).encode() for bits in range(1 << 12)]
_KEY_CHARACTERS = {"%": "/", "&c": ":", "&s": "%", "&a": "&"}
_ESCAPED = re.compile("|".join(_KEY_CHARACTERS))
# "BACKEND-sNNNN-mNNNN-SNNNN-CNNNN--NAME": all fields but backend and name may be left out (doc/internals/key_format).
_KEY = re.compile(
    r"(?P<backend>[A-Z0-9_]+)(?:-s(?P<size>[0-9]+))?(?:-m[0-9]+)?(?:-S[0-9]+-C[0-9]+)?--(?P<name>.+)", re.DOTALL
)
_POINTER = b"/annex/objects/"
_UNVERIFIED_BACKENDS = frozenset({"URL", "VURL"})

MAX_POINTER_BYTES = 32 * 1024
"""Larger files are no pointers (Annex.Link.maxValidPointerSz)."""

_MAX_EXTENSION_BYTES = 4  # "long enough for jpeg"
_MAX_EXTENSIONS = 2
_EXTENSION_PART = re.compile(rb"[0-9A-Za-z\x80-\xff]*")
# A name longer than a SHA-256's hex is cut, and its MD5 appended (Backend.Utilities.genKeyName).
_MAX_NAME_BYTES = 64
_CUT_NAME_BYTES = _MAX_NAME_BYTES - 32 - 1
_NAME_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_/%:")


def extension_of(filename: str) -> str:
    """The extension that an `*E` backend gives to a key of a file of that name; empty if it gives none.

    "At most 2 dotted parts, each at most 4 bytes long, alphanumeric (or UTF-8), taken from the end of the file name";
    an invalid short part is passed over, a long one ends the search (Backend.Utilities.selectExtension).
    """
    # Dots that hide a file begin no extension: `.gz` has none, `.x.gz` has `.gz`.
    name = filename.rsplit("/", 1)[-1].lstrip(".")
    dot = name.find(".")
    if dot < 0:
        return ""
    taken: list[bytes] = []
    for part in reversed(name[dot:].encode().split(b".")):
        if len(part) > _MAX_EXTENSION_BYTES or len(taken) == _MAX_EXTENSIONS:
            break
        if _EXTENSION_PART.fullmatch(part):
            taken.append(part)
    # Parts may be cut between two characters' bytes nowhere: a part is whole between its dots.
    return "".join("." + part.decode() for part in reversed(taken) if part)


def keys_of(entry: S3Object, url: str) -> tuple[AnnexKey, ...]:
    """The git-annex keys that name an object's content, best first: SHA256E, MD5E, and a URL key with size and mtime.

    A URL key is not verified by git-annex, and an object overwritten with the same size would keep it: hence the mtime
    in whole seconds (`-m`), which tells the two apart.
    """
    size = "" if entry.size_bytes is None else f"-s{entry.size_bytes}"
    # A key with a time before 1970 is none to git-annex.
    mtime = "" if entry.last_modified is None else f"-m{max(0, int(entry.last_modified.timestamp()))}"
    keys = []
    if (best := _sha256_key(entry)) is not None:
        keys.append(best)
    if entry.md5 is not None:
        keys.append(AnnexKey(f"MD5E{size}--{entry.md5}{extension_of(entry.key)}"))
    keys.append(AnnexKey(f"URL{size}{mtime}--{_url_name(url)}"))
    return tuple(keys)


def key_of(entry: S3Object, url: str) -> AnnexKey:
    """The git-annex key of an object: SHA256E, else MD5E, else a URL key."""
    return _sha256_key(entry) or keys_of(entry, url)[0]


def _sha256_key(entry: S3Object) -> AnnexKey | None:
    """The key of most files: made without the work that the others take."""
    if entry.sha256 is None:
        return None
    size = "" if entry.size_bytes is None else f"-s{entry.size_bytes}"
    return AnnexKey(f"SHA256E{size}--{entry.sha256}{extension_of(entry.key)}")


def digest_keys(batch: pa.RecordBatch) -> pa.Array:
    """`key_of` of every row of a snapshot, in bulk; null where neither SHA-256 nor MD5 is known.

    A name has few extensions, whatever is before its first dot: each is looked at once.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while; who gets contents of a clone needs no columns
    import pyarrow.compute as pc  # noqa: PLC0415

    from opendata_pkg.columns.arrays import joined  # noqa: PLC0415

    tails = pc.replace_substring_regex(batch["key"], r"(?s)^(?:.*/)?\.*[^./]*", "").dictionary_encode()
    known = pa.array([extension_of("a" + tail) for tail in tails.dictionary.to_pylist()], pa.string())
    sizes = pc.fill_null(joined("-s", batch["size"].cast(pa.string())), "")
    extensions = known.take(tails.indices)
    return pc.coalesce(
        joined("SHA256E", sizes, "--", batch["sha256"], extensions),
        joined("MD5E", sizes, "--", batch["md5"], extensions),
    )


def _url_name(url: str) -> str:
    """The name part of a URL key, as `git annex addurl` makes it (Backend.Utilities.genKeyName)."""
    name = "".join(c if c in _NAME_SAFE else ",," if c == "," else f",{ord(c)}" for c in url)
    if len(url.encode()) <= _MAX_NAME_BYTES:
        return name
    return f"{name[:_CUT_NAME_BYTES]}-{hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()}"


def symlink_targets(paths: pa.Array, keys: pa.Array) -> list[bytes]:
    """Where the symlink of every key points, each of a locked file at its path."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    depths = pc.count_substring(paths, "/").to_pylist()
    pairs, ups = _PAIRS, [b"../" * depth for depth in range(max(depths, default=0) + 1)]
    targets = []
    for depth, key, file in zip(depths, keys.cast("binary").to_pylist(), _files_of(keys), strict=True):
        word = int.from_bytes(hashlib.md5(key, usedforsecurity=False).digest()[:3], "little")
        folder = b"%s/%s" % (pairs[word & 0xFFF], pairs[word >> 12])
        targets.append(b"%s.git/annex/objects/%s/%s/%s" % (ups[depth], folder, file, file))
    return targets


def log_stems(keys: pa.Array) -> list[bytes]:
    """`log_stem` of every key."""
    stems = []
    for key, file in zip(keys.cast("binary").to_pylist(), _files_of(keys), strict=True):
        digest = hashlib.md5(key, usedforsecurity=False).hexdigest().encode()
        stems.append(b"%s/%s/%s" % (digest[:3], digest[3:6], file))
    return stems


def _files_of(keys: pa.Array) -> list[bytes]:
    """The keys as one path component each: `_KEY_FILE` in an order in which no replacement is replaced again."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    if pc.any(pc.match_substring_regex(keys, "[&%:/]")).as_py():
        for sign, name in (("&", "&a"), ("%", "&s"), (":", "&c"), ("/", "%")):
            keys = pc.replace_substring(keys, sign, name)
    files: list[bytes] = keys.cast("binary").to_pylist()
    return files


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a key binds of its content: `size_bytes`, and `digest` as `ALGORITHM:HEX` by hashlib's names.

    `is_known` is False for backends of which we do not know how to check content; URL keys bind the size at most.
    """

    size_bytes: int | None
    digest: str | None
    is_known: bool

    @property
    def sha256(self) -> Sha256 | None:
        """The SHA-256, if that is the digest."""
        return Sha256(self._hex) if self._algorithm == "sha256" else None

    @property
    def md5(self) -> Md5 | None:
        """The MD5, if that is the digest."""
        return Md5(self._hex) if self._algorithm == "md5" else None

    @property
    def _algorithm(self) -> str:
        return (self.digest or "").partition(":")[0]

    @property
    def _hex(self) -> str:
        return (self.digest or "").partition(":")[2]


def read_key(key: AnnexKey) -> KeyFacts:
    """Take a key apart.

    Raises:
        InputError: it is none.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise InputError(f"expected a git-annex key, such as SHA256E-s3--abc….swc, got {key!r}")
    backend, name = match["backend"], match["name"].split(".", 1)[0]
    algorithm = _ALGORITHMS.get(backend.removesuffix("E"))
    fits = algorithm is not None and _HEX.fullmatch(name) and len(name) == 2 * hashlib.new(algorithm).digest_size
    return KeyFacts(
        size_bytes=None if match["size"] is None else int(match["size"]),
        digest=f"{algorithm}:{name}" if fits else None,
        is_known=bool(fits) or backend in _UNVERIFIED_BACKENDS,
    )


def key_of_link(target: bytes) -> AnnexKey | None:
    """The key of a locked file, from where its symlink points; None if that is not into an annex."""
    folder, _, name = target.replace(b"\\", b"/").rpartition(b"/")
    if b".git/annex/objects/" not in folder + b"/":
        return None
    return _key_of_file(name)


def key_of_pointer(content: bytes) -> AnnexKey | None:
    """The key of an unlocked file, from what git has of it; None if that is no pointer."""
    if not content.startswith(_POINTER):
        return None
    return _key_of_file(content.splitlines()[0].rpartition(b"/")[2])


def _key_of_file(name: bytes) -> AnnexKey | None:
    text = _ESCAPED.sub(lambda match: _KEY_CHARACTERS[match[0]], name.decode(errors="surrogateescape"))
    return AnnexKey(text) if _KEY.fullmatch(text) else None


def key_file(key: AnnexKey) -> str:
    """The name of the file that holds a key's content."""
    return key.translate(_KEY_FILE)


def object_path(key: AnnexKey) -> str:
    """Where a repository keeps a key's content, relative to `.git/annex/objects`."""
    return f"{_hash_dir_mixed(key)}/{key_file(key)}/{key_file(key)}"


def object_paths(key: AnnexKey) -> tuple[str, str]:
    """Where it may be: as ordinary repositories have it, and as bare ones; relative to `.git/annex/objects`."""
    digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return object_path(key), f"{digest[:3]}/{digest[3:6]}/{key_file(key)}/{key_file(key)}"


def log_stem(key: AnnexKey) -> str:
    """The path in the git-annex branch of a key's logs, less `.log` (locations) or `.log.web` (URLs)."""
    digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:3]}/{digest[3:6]}/{key.translate(_KEY_FILE)}"


def _hash_dir_mixed(key: AnnexKey) -> str:
    word = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()[:3], "little")
    return f"{_PAIRS[word & 0xFFF].decode()}/{_PAIRS[word >> 12].decode()}"


def location_log(time: int, *, present: bool) -> bytes:
    """The location log of a key that only the web has, or had: `TIMESTAMPs 1 UUID`."""
    return f"{time}s {int(present)} {WEB_UUID}\n".encode()


def location_in(log: bytes, uuid: bytes) -> tuple[float, bool] | None:
    """When a location log last says of a repository whether it has the content, and what; None: it does not."""
    newest: tuple[float, bool] | None = None
    for line in log.splitlines():
        time, status, place = line.split(b" ", 2)
        if place == uuid:
            state = (float(time.removesuffix(b"s")), status == b"1")
            newest = state if newest is None else max(newest, state)
    return newest


def location_log_with(log: bytes, uuid: bytes, time: float) -> bytes:
    """A location log that says, from `time` (seconds) or later on, that a repository has the content."""
    before = location_in(log, uuid)
    if before is not None:
        # Of two lines the newest counts, whatever the clocks of machines say.
        time = max(time, before[0] + 1)
    kept = [line for line in log.splitlines() if line.split(b" ", 2)[2] != uuid]
    return b"".join(line + b"\n" for line in [*kept, b"%.6fs 1 %s" % (time, uuid)])


def web_log(lines: Iterable[tuple[str, int, bool]]) -> bytes:
    """The URL log of a key: (URL, time in seconds, whether it still serves the content), sorted by URL."""
    return b"".join(f"{time}s {int(present)} {url}\n".encode() for url, time, present in sorted(lines))


def parse_web_log(log: bytes) -> dict[str, tuple[int, bool]]:
    """A URL log as URL → (time in seconds, present). Of several lines for one URL the newest counts."""
    found: dict[str, tuple[int, bool]] = {}
    for line in log.decode().splitlines():
        time_text, status, url = line.split(" ", 2)
        state = (int(float(time_text.removesuffix("s"))), status == "1")
        if url not in found or state >= found[url]:
            found[url] = state
    return found
