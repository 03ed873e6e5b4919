"""Random chains of releases: what may happen to a bucket and its catalogue, from a seed."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.core_support import BASE, entry_of
from tests.plain_model import Branch, Input

EPOCH = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
BRANCHES = ("Rat", "Rat/Cortex", "Rat/Deep/Layer", "Mouse", "Mouse/É t", "x")
FOLDERS = ("", "Rat/", "Rat/Cortex/", "Rat/Deep/Layer/", "Mouse/", "Mouse/É t/", "a/", "Rat/a/b/", "x/", "tmp/")
NAMES = (
    *("a", "a/b", "b.swc", "c.tar.gz", "x", "x/y", "x/y/z", "d e.json", "+", "100%", "%2E", "k=v", "é", "e\u0301"),
    *("q'\"", 'q",', "\\", "two\nlines", ".git", ".gitmodules", ".GIT/x", "git~1", ".datalad/config", ".mailmap"),
    *("datapackage.json", "README.md", "readme.md/x", "CITATION.cff", "_opendata/x", ".noannex", "a//b", "./x", "../y"),
    *(
        "n" * 255,
        "é" * 200 + ".dat",
        "Deep",
        "Deep/Layer",
        "deep/layer/x",
        "cortex/u",
        "Cortex",
        "folder/",
        "é t",
        "&:,",
    ),
    *("\u2028", "\u200c.git", "a%file", "a%dir/b", "z%more", "a.b-c.gz", ".x.gz", "tab\t", "日本/長", "con", "A"),
)
BASES = (BASE, "http://127.0.0.1:9/other/", BASE + "a/")


class History:
    """Makes one release after the other, from a seed: each the one before with something else."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.base, self.epoch = BASE, EPOCH
        self.ignore = self.dice.choice([(), ("tmp/",), ("tmp/", "Rat/a")])
        names = ["", *(path for path in BRANCHES if self.dice.random() < 0.6)]
        self.branches = [self.branch(path) for path in names]
        self.objects = {}
        self.known = self.dice.choice([["sha256"], ["sha256", "md5", "both", None]])
        for _ in range(self.dice.choice([3, 30, 80])):
            self.put(self.key())

    def branch(self, path):
        """A branch, of whose name and id nothing tells but the path that it had first."""
        number = sum(ord(letter) * 7**place for place, letter in enumerate(path)) % 10**12
        return Branch(path=path, name=f"b{number}", uuid=f"00000000-0000-4000-8000-{number:012}")

    def key(self):
        """Any key there may be."""
        return self.dice.choice(FOLDERS) + self.dice.choice(NAMES)

    def put(self, key):
        """An object with few contents, ETags and dates, so that many have the same."""
        dice = self.dice
        content, day = (
            dice.choice("vwxyz") * dice.choice([0, 1, 1, 2]),
            dice.choice([None, -9_999_999, 0, 1, 2, 3.5, 40]),
        )
        size = {"size_bytes": None} if dice.random() < 0.1 else {}
        self.objects[key] = entry_of(
            key,
            content,
            version=dice.choice([None, None, "null", "v1", "v2", "a+b/c"]),
            known=dice.choice(self.known),
            etag=dice.choice([None, "e", f"e{content}", '"q",\n']),
            last_modified=None
            if day is None
            else datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day if day > -99 else -25_000),
            **size,
        )

    def change(self):
        """Something happens in the bucket."""
        keys = sorted(self.objects)
        what = self.dice.choice(
            ["put", "put", "drop", "copy", "move", "again", "much", "learn", "forget", "version", "undate", "etag"]
        )
        if what == "put" or not keys:
            self.put(self.key())
        elif what == "much":
            for key in keys[:: self.dice.choice([1, 2, 3])]:
                self.dice.choice([self.put, self.objects.pop])(key)
        else:
            self.change_object(what, self.dice.choice(keys))

    def change_object(self, what, key):
        """An object is other, elsewhere or gone, or more or less is known of it."""
        old = self.objects[key]
        same = entry_of(key, "v" * (old.size_bytes or 1), known="both")
        if what == "again":
            self.put(key)
        elif what in {"drop", "copy", "move"}:
            if what != "copy":
                del self.objects[key]
            if what != "drop":
                other = self.key()
                self.objects[other] = replace(old, key=other)
        else:
            known = {
                "learn": {"md5": same.md5, "sha256": same.sha256},
                "forget": {"sha256": None},
                "version": {"version_id": self.dice.choice([None, "null", "v3"])},
                "undate": {"last_modified": None},
                "etag": {"etag": self.dice.choice([None, "e", "other"])},
            }
            self.objects[key] = replace(old, **known[what])

    def change_catalogue(self):
        """A branch is new, or has another path; or other things are ignored; or the bucket has another address."""
        dice = self.dice
        what = dice.choice(["new", "rename", "rename", "ignore", "base", "title", "epoch"])
        paths = [branch.path for branch in self.branches]
        if what == "base":
            self.base = dice.choice(BASES)
        elif what == "epoch":
            self.epoch += dice.choice([-86_400, 86_400])
        elif what == "title":
            number = dice.randrange(len(paths))
            self.branches[number] = replace(self.branches[number], title=dice.choice(["One", 'Two: "x"']))
        elif what == "ignore":
            self.ignore = dice.choice([(), ("tmp/",), ("tmp", "a/b")])
        elif what == "new":
            path = dice.choice(BRANCHES)
            if not any(one == path or one.startswith(path + "/") or path in self.were for one in paths):
                self.branches.append(self.branch(path))
        elif len(paths) > 1:
            path = dice.choice(paths[1:])
            new = path + "-2"
            self.branches = [
                replace(one, path=new + one.path[len(path) :], formerly=(*one.formerly, one.path))
                if one.path == path or one.path.startswith(path + "/")
                else one
                for one in self.branches
            ]
            if dice.random() < 0.7:
                for key in [key for key in self.objects if key.startswith(path + "/")]:
                    entry = self.objects.pop(key)
                    other = new + key[len(path) :]
                    self.objects[other] = replace(entry, key=other)

    @property
    def were(self):
        """Paths that branches once had."""
        return {path for branch in self.branches for path in branch.formerly}

    def inputs(self):
        """What is built from now."""
        return Input(
            objects=dict(self.objects),
            branches=list(self.branches),
            ignore=self.ignore,
            base=self.base,
            epoch=self.epoch,
        )

    def releases(self):
        """The inputs of each."""
        for number in range(self.dice.randint(2, 6)):
            if number and self.dice.random() < 0.25:
                self.change_catalogue()
            for _ in range(self.dice.choice([0, 1, 1, 2, 5]) if number else 0):
                self.change()
            if not any(True for _ in self.objects):
                self.put("Rat/a")
            yield self.inputs()
