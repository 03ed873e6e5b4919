"""Names worked out plainly, from docs/explanation and git-annex's own pages alone: of files, keys, logs and addresses.

Nothing of it is the package's: with tests/plain_model.py it judges the real code.
"""

import hashlib
import re
import unicodedata

LETTERS = "0123456789zqjxkmvwgpfZQJXKMVWGPF"
# What HFS+ passes over in a name.
UNSEEN = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def seconds(entry):
    """When an object was written, in whole seconds."""
    return int(entry.last_modified.timestamp() // 1)


def real(entry):
    """Whether an object has a version that stays."""
    return entry.version_id not in {None, "null"}


def percent(text):
    """Every byte as an escape."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def in_line(text):
    """Control bytes, `%` and DEL escaped."""
    return re.sub(r"[\x00-\x1f%\x7f]", lambda match: percent(match[0]), text)


def fold(text):
    """What two names have in common that a file system may take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def escape(name, *, first):
    """A name as a tree can hold it."""
    if name in {"", ".", ".."}:
        return {"": "%empty", ".": "%2E", "..": "%2E%2E"}[name]
    seen = name.translate(UNSEEN).casefold()
    gits = seen.startswith((".git", ".mailmap", ".datalad")) or re.match("(gi|ma|da)[^~]{0,4}~[0-9]", seen)
    odd = r"[\x00-\x1f\x7f-\x9f\u2028\u2029%\\]"
    head = percent(name[0]) if first or gits or re.match(odd, name) else name[0]
    return head + re.sub(odd, lambda match: percent(match[0]), name[1:])


def cut(text):
    """A name of over 255 bytes as several."""
    if len(text.encode()) <= 255:
        return [text]
    units = re.findall(r"%[0-9A-F]{2}|%empty|%file|%dir|.", text, re.DOTALL)
    pieces, piece = [], ""
    for unit in units:
        if len((piece + unit).encode()) > 250:
            pieces, piece = [*pieces, piece + "%more"], ""
            piece = unit if unit[0] == "%" else percent(unit)
        else:
            piece += unit
    return [*pieces, piece]


def url_of(base, entry, *, version=True):
    """Where an object is."""
    kept = rb"[A-Za-z0-9._~/-]"
    path = "".join(chr(byte) if re.match(kept, bytes([byte])) else f"%{byte:02X}" for byte in entry.key.encode()).split(
        "/"
    )
    path = "/".join(name.replace(".", "%2E") if name in {".", ".."} else name for name in path)
    query = "".join(c if re.match("[A-Za-z0-9._~-]", c) else percent(c) for c in entry.version_id or "")
    return base + path + (f"?versionId={query}" if version and real(entry) else "")


def annex_names(entry, url):
    """The git-annex keys of an object's content, best first."""
    size = "" if entry.size_bytes is None else f"-s{entry.size_bytes}"
    date = "" if entry.last_modified is None else f"-m{max(0, seconds(entry))}"
    taken = []
    for part in reversed(entry.key.split("/")[-1].lstrip(".").split(".")[1:]):
        if len(part.encode()) > 4 or len(taken) == 2:
            break
        if all(c.isalnum() or not c.isascii() for c in part):
            taken.insert(0, part)
    ending = "".join("." + part for part in taken if part)
    plain = "".join(c if re.match(r"[A-Za-z0-9._/%:-]", c) else f",{ord(c)}" for c in url)
    if len(url) > 64:
        plain = f"{plain[:31]}-{hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()}"
    names = [f"SHA256E{size}--{entry.sha256}{ending}"] if entry.sha256 else []
    names += [f"MD5E{size}--{entry.md5}{ending}"] if entry.md5 else []
    return [*names, f"URL{size}{date}--{plain}"]


def file(name):
    """A git-annex key as the name of a file."""
    return name.replace("&", "&a").replace("%", "&s").replace(":", "&c").replace("/", "%")


def stem(name):
    """Where the logs of a git-annex key are."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:3]}/{digest[3:6]}/{file(name)}"


def mixed(name):
    """The folders that hold a git-annex key's content, and the name of the innermost is added by the caller."""
    word = int.from_bytes(hashlib.md5(name.encode(), usedforsecurity=False).digest()[:4], "little")
    one, two, three, four = (LETTERS[word >> 6 * place & 31] for place in range(4))
    return f"{two}{one}/{four}{three}"
