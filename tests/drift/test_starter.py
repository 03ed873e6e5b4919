"""A catalogue to begin with: made from a snapshot, refused until a person has said what only a person knows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.catalogue.check import check_catalogue
from opendata_pkg.drift.drift import find_drift
from opendata_pkg.drift.starter import start_catalogue
from opendata_pkg.model import NotFoundError, ObjectKey, S3Object, UsageError
from tests.core_support import entry_of, snapshot_of

KEYS = [*(f"Rat/Cortex/deep/{n}" for n in range(3)), "Rat/Thalamus/1", *(f"Mouse/{n}" for n in range(2)), "README.md"]


def filled_in(text):
    """The catalogue once a person has said the terms."""
    return Catalogue.parse(text.replace("\nlicenses:\n", "\nlicenses: [{name: CC0-1.0}]\n").encode(), "started.yaml")


def test_a_catalogue_is_started_from_folders():
    """Folders with enough objects, down to a depth, with their figures."""
    text = start_catalogue(snapshot_of(*KEYS), min_objects=2)
    assert text.endswith(
        "branches:\n"
        "  Mouse:  # 2 objects, 14 bytes\n"
        "  Rat:  # 4 objects, 65 bytes\n"
        "  Rat/Cortex:  # 3 objects, 51 bytes\n"
    )
    catalogue = filled_in(text)
    assert list(catalogue.branches) == ["", "Mouse", "Rat", "Rat/Cortex"]
    assert (catalogue.id, catalogue.epoch.isoformat()) == ("bucket", "2024-01-01T00:00:00+00:00")
    assert catalogue.title == "TITLE TO BE WRITTEN: what bucket holds"
    assert list(filled_in(start_catalogue(snapshot_of(*KEYS), min_objects=1, depth=1)).branches) == ["", "Mouse", "Rat"]


def test_it_is_refused_until_the_terms_are_said():
    """Nothing is released on terms that nobody has stated; the fault names the line."""
    text = start_catalogue(snapshot_of(*KEYS))
    [fault] = check_catalogue(text.encode(), "started.yaml")
    line = text.splitlines().index("licenses:") + 1
    assert str(fault) == (
        f"started.yaml, line {line}, at $.licenses: expected a list, got null; "
        "a list takes the place of the inherited one, [] clears it"
    )


def test_the_same_snapshot_gives_the_same_text():
    """No clock, no order of a dictionary."""
    assert start_catalogue(snapshot_of(*KEYS)) == start_catalogue(snapshot_of(*reversed(KEYS)))


def test_what_is_no_data_is_not_counted():
    """Folder markers make no branch, and objects without date or size do no harm."""
    markers = [entry_of(f"Empty/{n}/", "") for n in range(20)]
    unknown = [S3Object(key=ObjectKey(f"Unknown/{n}")) for n in range(2)]
    catalogue = filled_in(start_catalogue(snapshot_of(*markers, *unknown), min_objects=2))
    assert list(catalogue.branches) == ["", "Unknown"]
    undated = filled_in(start_catalogue(snapshot_of(*unknown)))
    assert undated.epoch.year == 2000


def test_an_id_can_be_stated_and_must_be_where_none_follows():
    """The bucket's name, else that of the file or folder that was scanned."""
    assert filled_in(start_catalogue(snapshot_of("a"), catalogue_id="mine")).id == "mine"
    listed = snapshot_of("a", bucket=None, source="/data/My Listing.csv")
    assert filled_in(start_catalogue(listed)).id == "my-listing.csv"
    with pytest.raises(UsageError, match=r"no id of a-z, 0-9, \. and - follows from '日本': state one"):
        start_catalogue(snapshot_of("a", bucket="日本"))
    with pytest.raises(NotFoundError, match="the snapshot holds no objects"):
        start_catalogue(snapshot_of())


def test_folders_that_cannot_be_branches_are_comments():
    """Of two that differ in case one is taken; the other is told with the reason."""
    text = start_catalogue(snapshot_of("Data/x", "data/x", "A@1/x", 'q"#: x/x'), min_objects=1)
    assert len(re.findall(r"^  # .* cannot be added: ", text, re.MULTILINE)) == 3
    assert list(filled_in(text).branches) == ["", "Data"]


NAMES = st.text(st.sampled_from("aAbB -_.@/%#'\"\\é:0~\n"), min_size=1, max_size=8)


@given(st.lists(NAMES, min_size=1, max_size=8, unique=True), NAMES)
def test_every_start_is_a_catalogue(names, source):
    """Whatever keys and sources are called."""
    keys = {f"{name}/x": None for name in names}
    text = start_catalogue(snapshot_of(*keys, source=source), catalogue_id="a", min_objects=1)
    find_drift(snapshot_of(*keys), filled_in(text))
