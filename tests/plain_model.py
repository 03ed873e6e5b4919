"""What a chain of releases must be, worked out slowly and plainly from docs/explanation alone: a judge of the real code.

It imports nothing that builds. Each rule stands once, without a shortcut: one object at a time, and all of them in every
release. `Model.release` says of each dataset what git must show.
"""

import hashlib
from dataclasses import dataclass, field

from tests.plain_names import annex_names, cut, escape, file, fold, in_line, mixed, real, seconds, stem, url_of

WEB = "00000000-0000-0000-0000-000000000001"
COLUMNS = ("path", "key", "bytes", "sha256", "md5", "etag", "version_id", "last_modified", "grade")


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch of the catalogue; the root's path is empty."""

    path: str
    name: str
    uuid: str
    formerly: tuple = ()
    title: str = "Title"


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a release is made of: `objects` by key, `branches` with the root first, `ignore` as prefixes."""

    objects: dict
    branches: list
    ignore: tuple
    base: str
    epoch: int


@dataclass(kw_only=True)
class Dataset:
    """What a release must hold of a dataset; `logs` is the whole git-annex branch, `rows` the inventory."""

    path: str
    parent: str | None
    links: dict = field(default_factory=dict)
    mounts: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)
    grades: dict = field(default_factory=dict)
    digest: tuple = ()
    subtree: tuple = ()
    time: int = 0


class Model:
    """A store, as it must be after each release."""

    def __init__(self):
        self.files, self.folders = {}, {}
        self.locations, self.webs, self.times = {}, {}, {}
        self.released = {}
        self.last = None
        self.count = 0

    def release(self, given):
        """The datasets of the next release, by name, and how many objects are left out by ignored prefixes or as markers."""
        self.count += 1
        kept = {key: entry for key, entry in given.objects.items() if not left_out(key, entry, given)}
        for key in kept:
            self.files.setdefault(key, self.count)
            for folder in folders(key):
                self.folders.setdefault(folder, self.count)
        parents = {branch.path: above(branch.path, given.branches) for branch in given.branches}
        owners = {key: owner(key, given.branches) for key in kept}
        here = {"", *(path for path in parents if any(is_below(key, path) for key in kept))}
        here |= {branch.path for branch in given.branches if branch.uuid in self.released}
        for path in list(here):
            while (path := parents[path]) is not None:
                here.add(path)
        found = {}
        for branch in sorted(given.branches, key=lambda branch: -len(branch.path)):
            if branch.path not in here:
                continue
            own = {key: kept[key] for key in kept if owners[key] == branch.path}
            found[branch.name] = self._dataset(branch, own, parents, here, given, found)
            below = {key: kept[key] for key in kept if is_below(key, branch.path)}
            found[branch.name].subtree = content_digest(below, branch.path)
        self.released = {branch.uuid: branch for branch in given.branches if branch.path in here}
        self.last = given
        return found, len(given.objects) - len(kept)

    def _dataset(self, branch, own, parents, here, given, found):
        prefix = branch.path + "/" if branch.path else ""
        children = [child for child in given.branches if child.path and parents[child.path] == branch.path]
        mounts = [child.path[len(prefix) :] for child in children]
        made = Dataset(path=branch.path, parent=parents[branch.path])
        made.mounts = {child.path[len(prefix) :]: child.name for child in children if child.path in here}
        dates = [found[name].time for name in made.mounts.values()]
        dates += [seconds(entry) for entry in own.values() if entry.last_modified is not None]
        if branch.uuid in self.times:
            dates.append(self.times[branch.uuid] + 1)
        made.time = max([0, *dates]) if dates else given.epoch
        candidates = {}
        for key, entry in own.items():
            path = self._path(key, prefix, mounts, {branch.path for branch in given.branches})
            url = url_of(given.base, entry)
            name = annex_names(entry, url)[0]
            assert path not in made.links, path
            ups = "../" * path.count("/")
            made.links[path] = f"{ups}.git/annex/objects/{mixed(name)}/{file(name)}/{file(name)}"
            candidates.setdefault(name, []).append((not real(entry), False, key.encode(), url))
            made.rows.append(row(path, entry))
            made.grades[grade(entry)] = made.grades.get(grade(entry), 0) + 1
        made.rows.sort(key=lambda values: values["path"].encode())
        made.digest = content_digest(own, branch.path)
        made.logs = self._logs(branch.uuid, candidates, given, made.time)
        return made

    def settle(self, branch, time):
        """Take note of the time that a dataset has after the release."""
        self.times[branch] = time

    def _path(self, key, prefix, mounts, branches):
        whole, parts = prefix, []
        names = key[len(prefix) :].split("/")
        for place, name in enumerate(names):
            whole += name
            folded = fold(whole[len(prefix) :])
            ours = place == 0 and folded in {"datapackage.json", "_opendata", ".noannex"}
            text = escape(name, first=ours or folded in map(fold, mounts))
            file_first = self.files.get(whole, 1 << 30) < self.folders.get(whole, 0)
            if place < len(names) - 1:
                text += "%dir" if file_first else ""
            else:
                shared = whole not in branches and whole in self.folders and not file_first
                on_the_way = any(mount.startswith(whole[len(prefix) :] + "/") for mount in mounts)
                text += "%file" if shared or on_the_way else ""
            parts += cut(text)
            whole += "/"
        return "/".join(parts)

    def _logs(self, dataset, candidates, given, time):
        webs, locations = self.webs.setdefault(dataset, {}), self.locations.setdefault(dataset, {})
        for name in {*webs, *candidates}:
            before = webs.get(name, {})
            offers = {offer[3]: offer for offer in candidates.get(name, ())}
            for url, (_, offered) in before.items():
                if offered and url not in offers and (still := self._still(name, url, given)):
                    offers[url] = still
            best = [offer[3] for offer in sorted(offers.values())[:4]]
            after = {url: state for url, state in before.items() if state[1] == (url in best)}
            after |= {url: (time, url in best) for url in {*before, *best} - after.keys()}
            is_there = any(offered for _, offered in after.values())
            if name not in locations or locations[name][1] != is_there:
                locations[name] = time, is_there
            webs[name] = after
        logs = {}
        for name, urls in webs.items():
            logs[stem(name) + ".log"] = f"{locations[name][0]}s {locations[name][1]:d} {WEB}\n"
            logs[stem(name) + ".log.web"] = "".join(f"{s}s {on:d} {url}\n" for url, (s, on) in sorted(urls.items()))
        return logs

    def _still(self, name, url, given):
        """Whether a URL on offer for content serves it yet, though no file of the dataset says so."""
        if "?versionId=" in url:
            return False, True, url.encode(), url
        there = [key for key, entry in given.objects.items() if url_of(given.base, entry, version=False) == url]
        if not there:
            return None
        now = given.objects[there[0]]
        was = self.last.objects.get(there[0]) if self.last.base == given.base else None
        if name in annex_names(now, url) or (was is not None and unwritten(was, now)):
            return True, False, there[0].encode(), url
        return None


def left_out(key, entry, given):
    """Ignored, or the marker of a folder."""
    return key.startswith(given.ignore) or (key.endswith("/") and not entry.size_bytes)


def is_below(key, path):
    """Whether an object is in a folder."""
    return not path or key.startswith(path + "/")


def folders(key):
    """All folders that a key is in."""
    names = key.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def owner(key, branches):
    """The deepest branch that is a folder of a key."""
    return max((branch.path for branch in branches if is_below(key, branch.path)), key=len)


def above(path, branches):
    """The nearest declared branch above a path."""
    return max((one.path for one in branches if one.path != path and is_below(path, one.path)), key=len, default=None)


def grade(entry):
    """How surely it stays the same."""
    words = ("fixed", "versioned") if real(entry) else ("verifiable", "mutable")
    return words[entry.sha256 is None and entry.md5 is None]


def content_digest(objects, path):
    """The digest over some objects, and how many of its lines hold a `-`."""
    lines = {}
    for key, entry in objects.items():
        known = f"sha256:{entry.sha256}" if entry.sha256 else f"md5:{entry.md5}" if entry.md5 else "-"
        size = "-" if entry.size_bytes is None else str(entry.size_bytes)
        lines[in_line(key[len(path) + 1 if path else 0 :]).encode()] = f"\t{size}\t{known}\n".encode()
    text = [name + lines[name] for name in sorted(lines)]
    unknown = sum(b"\t-" in line for line in lines.values())
    return (
        hashlib.sha256(b"".join(text)).hexdigest(),
        unknown,
        len(lines),
        sum(o.size_bytes or 0 for o in objects.values()),
    )


def row(path, entry):
    """The line of an inventory."""
    date = "" if entry.last_modified is None else entry.last_modified.isoformat().replace("+00:00", "Z")
    values = (path, in_line(entry.key), entry.size_bytes, entry.sha256, entry.md5, entry.etag, entry.version_id)
    texts = ["" if value is None else str(value) for value in values]
    return dict(zip(COLUMNS, [*texts, date, grade(entry)], strict=True))


def unwritten(was, now):
    """Whether S3 itself says that an object was not written again, and the best that is known of both agrees."""
    for name in ("sha256", "md5", "size_bytes"):
        known = getattr(was, name), getattr(now, name)
        if None not in known and known[0] != known[1]:
            return False
        if None not in known and name != "size_bytes":
            break
    if was.etag is not None and now.etag is not None:
        return was.etag == now.etag
    return was.last_modified is not None and was.last_modified == now.last_modified
