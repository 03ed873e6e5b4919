"""A bucket in a folder, its store, and clones of it: what the tests of clone and get have in common."""

from __future__ import annotations

from opendata_pkg.plan.selection import Rules
from opendata_pkg.progress import Reporter
from opendata_pkg.readers.cloning import clone
from opendata_pkg.targets.opening import open_target
from tests.core_support import catalogue_of, entry_of, publish, snapshot_of

FIRST, SECOND = "1.0.0", "1.1.0"
CONTENTS = {
    "top.txt": "at the top\n",
    **{f"Rat/cell {number}.swc": f"1 1 0 0 0 {number} -1\n" for number in range(12)},
    "Rat/raw/trace#1.h5": "a trace\n",
    "Rat/raw/twin of cell 1.swc": "1 1 0 0 0 1 -1\n",
    "Rat/Cortex/übung.swc": "2 1 0 0 0 1 -1\n",
    "Rat/Deep/Layer/d.swc": "3 1 0 0 0 1 -1\n",
    "Mouse/m.swc": "4 1 0 0 0 1 -1\n",
}
LATER = {"Rat/Cortex/new.swc": "5 1 0 0 0 1 -1\n"}
"""What the second version adds."""


class Listener(Reporter):
    """Keeps all messages."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        """Keep it."""
        self.messages.append(text)


def fill_bucket(folder, contents):
    """Write contents, path → text, into a folder that a web server then serves."""
    for path, text in contents.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def publish_contents(store, version, contents, base_url, **known):
    """Release contents that are served at a URL."""
    entries = [entry_of(path, text, **known) for path, text in contents.items()]
    publish(store, version, snapshot_of(*entries, base_url=base_url), catalogue_of())


def make_clone(word, store, folder, *, reporter=None, **options):
    """Clone a dataset of a store; rules by their names."""
    names = {"path", "include", "exclude", "larger", "smaller"}
    rules = Rules(**{name: options.pop(name) for name in names & options.keys()})
    listener = reporter or Listener()
    return clone(open_target(word, store=store), folder, rules=rules, reporter=listener, **options)
