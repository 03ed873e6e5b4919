"""Random histories of a bucket, released state by state: what stock tools are offered is always right."""

import hashlib
import random
from urllib.parse import unquote

import pytest

from opendata_pkg.annex import parse_web_log
from opendata_pkg.dataset.weblogs import MAX_URLS
from opendata_pkg.git.repository import Repository
from opendata_pkg.store.store import Store
from tests.core_support import (
    BASE,
    annexed_paths,
    catalogue_of,
    entry_of,
    git_text,
    publish,
    repository_of,
    snapshot_of,
)

KEYS = [
    f"{folder}{name}" for folder in ("", "Rat/", "Rat/Sub/", "Mouse/") for name in ("a.swc", "b.swc", "c d.txt", "é")
]
TREES = (
    "branches: {Rat: {}, Mouse: {}}\n",
    "branches: {Rat: {}, Rat/Sub: {}, Mouse: {}}\n",
    "branches: {Rat: {}, Rat/Sub: {}, Mouse: {}}\nignore: [{prefix: Rat/b, reason: wrong}]\n",
)


class Bucket:
    """A bucket as S3 has it: current objects, and every version that has an id of its own."""

    def __init__(self, choice):
        self.choice, self.day = choice, 0
        self.current, self.versions = {}, {}

    def change(self):
        """Some objects are put, overwritten, put again as they were, or deleted; more or less is known of them."""
        self.day += self.choice.randint(1, 3)
        for key in self.choice.sample(KEYS, self.choice.randint(1, 6)):
            if key in self.current and self.choice.random() < 0.4:
                del self.current[key]
                continue
            # Few contents, so that several objects share one.
            content = self.choice.choice(["one", "two", "three", key])
            version = self.choice.choice([None, "null", f"v{len(self.versions)}"])
            if version not in {None, "null"}:
                self.versions[key, version] = content
            self.current[key] = (content, version, self.day, self.choice.choice(["sha256", "md5", "both"]))

    def snapshot(self):
        """What a scan finds."""
        return snapshot_of(
            *(
                entry_of(key, content, version=version, day=day, known=known)
                for key, (content, version, day, known) in self.current.items()
            )
        )

    def serves(self, url):
        """The bytes at a URL; None for what is gone."""
        path, _, version = url.removeprefix(BASE).partition("?versionId=")
        key = unquote(path)
        if version:
            return self.versions[key, version].encode()
        return self.current[key][0].encode() if key in self.current else None


def logs_of(repository):
    """Key → (URL log, location log) of the whole git-annex branch."""
    files = {path.decode().rsplit("/", 1)[1]: body for path, body in Repository(repository).files_of("git-annex")}
    names = [name.removesuffix(".log.web") for name in files if name.endswith(".log.web")]
    assert len(files) == 2 * len(names)
    return {name: (parse_web_log(files[f"{name}.log.web"]), files[f"{name}.log"].decode()) for name in names}


def is_content(key, data):
    """Whether bytes are those that a key names."""
    backend, _, digest = key.partition("--")
    algorithm = "sha256" if backend.startswith("SHA256E") else "md5"
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() == digest.partition(".")[0]


@pytest.mark.parametrize("seed", range(6))
def test_stock_tools_are_never_offered_wrong_bytes(tmp_path, seed):
    """After every release: offered URLs serve the key's bytes, every present file has one, no line is lost or goes back."""
    bucket = Bucket(random.Random(seed))
    bucket.current["keep"] = ("keep", None, 0, "sha256")
    before, heads = {}, {}
    for number in range(6):
        bucket.change()
        publish(tmp_path, f"1.{number}.0", bucket.snapshot(), catalogue_of(TREES[min(number // 2, 2)]))
        for entry in Store.open(tmp_path).latest().datasets.values():
            repository = repository_of(tmp_path, entry.name)
            logs = logs_of(repository)
            for key, (urls, location) in logs.items():
                offered = [url for url, (_, is_offered) in urls.items() if is_offered]
                assert all(is_content(key, bucket.serves(url)) for url in offered), (key, offered)
                assert len(offered) <= MAX_URLS
                assert location.split(" ")[1] == str(int(bool(offered)))
                old, _ = before.get((entry.name, key), ({}, ""))
                assert old.keys() <= urls.keys()
                assert all(urls[url] == state or urls[url][0] > state[0] for url, state in old.items())
                assert max(time for time, _ in urls.values()) <= entry.written.commits.time
            targets = {git_text(repository, "cat-file", "blob", f"main:{path}") for path in annexed_paths(repository)}
            here = {target.rsplit("/", 1)[1] for target in targets}
            assert all(any(offered for _, offered in logs[key][0].values()) for key in here)
            for branch, commit in (("main", entry.written.commits.main), ("git-annex", entry.written.commits.annex)):
                # One commit more where there is a new one, on top of the last.
                last = heads.get((entry.name, branch))
                if last not in {None, commit}:
                    assert git_text(repository, "rev-parse", f"{commit}^") == last
                heads[entry.name, branch] = commit
            before |= {(entry.name, key): log for key, log in logs.items()}
