"""Key ranges: where chains of pages begin, meet and end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.listing.spans import Span, Spans, common_folder, guess_points

NAMES = st.text(st.sampled_from("01ab/é\uffee\U0001f9e0"), min_size=1, max_size=6)


def begun(spans, after, keys, following):
    """A span that begins after a key, with its first page."""
    span = spans.add(Span(prefix="", after=after))
    assert spans.begin(span, keys)
    span.reach(keys, following)
    span.advance()
    return span


@given(st.sets(NAMES, min_size=1), st.none() | NAMES, st.integers(0, 9))
def test_guesses_come_after_what_is_listed(keys, until, count):
    """Each once, none beyond the next span, and no more than are wanted."""
    known = sorted(keys)
    points = guess_points(known, until, count)
    assert len(points) == len(set(points)) <= count
    assert all(point > known[-1] and (until is None or point < until) for point in points)
    assert all(point.startswith(common_folder(known)) for point in points)


def test_names_with_numbers_go_on_with_other_numbers():
    """A folder of names that are counted is cut into tens, hundreds and thousands."""
    keys = [f"d/{number:05d}.swc" for number in range(100)]
    assert guess_points(keys, None, 40) == [
        *(f"d/{number}" for number in range(1, 10)),
        *(f"d/0{number}" for number in range(1, 10)),
        *(f"d/00{number}" for number in range(1, 10)),
    ]
    assert guess_points(keys, "d/01", 2) == ["d/003", "d/006"]


def test_a_span_ends_where_another_begins():
    """Not at its own first key, nor at that of one of which no page is kept."""
    spans = Spans(prefix="")
    first = begun(spans, "", ["a", "b"], {"token": "1"})
    second = spans.add(Span(prefix="", after="c"))
    assert spans.unbegun_after(first, "e") == [second]
    assert spans.unbegun_after(first, "c") == []
    assert spans.begin(second, ["d", "e"])
    assert spans.meets(first, ["c", "d", "e"]) is None
    second.reach(["d", "e"], {"token": "2"})
    second.advance()
    assert spans.meets(first, ["c", "d", "e"]) == 1
    assert spans.meets(second, ["d", "e"]) is None


def test_what_is_known_to_be_empty_is_not_asked_for_again():
    """Nothing between where a span was to begin and its first key, and nothing at the end."""
    spans = Spans(prefix="")
    root = begun(spans, "", ["a/1", "a/2"], {"token": "1"})
    begun(spans, "a/8", ["a/9"], None)
    void = spans.add(Span(prefix="", after="a/5"))
    assert not spans.begin(void, ["a/9"])
    points = [span.after for span in spans.split_by_guess(root, ["a/1", "a/2"], 9)]
    assert points == ["a/3", "a/4"]
    spans = Spans(prefix="")
    root = begun(spans, "", ["a/1", "a/2"], {"token": "1"})
    void = spans.add(Span(prefix="", after="a/4"))
    assert not spans.begin(void, [])
    assert [span.after for span in spans.split_by_guess(root, ["a/1", "a/2"], 9)] == ["a/3"]


def test_a_server_without_order_is_asked_for_one_chain():
    """A page that goes back, or that begins before where it was asked to, ends the sharing."""
    for keys in (["d", "c"], ["a"]):
        spans = Spans(prefix="")
        root = begun(spans, "", ["a/1", "b/1"], {"token": "1"})
        second = spans.add(Span(prefix="", after="c"))
        spans.begin(second, keys)
        spans.check_order(second, keys)
        spans.note_folders("", ["d/", "e/"], is_all=False)
        assert spans.split_at_folders(5) == []
        assert spans.split_by_guess(root, ["a/1", "b/1"], 5) == []


def test_folders_that_are_known_are_where_spans_begin():
    """Those ahead of what is listed; where all are known, nothing is guessed."""
    spans = Spans(prefix="")
    keys = ["a/1", "b/1"]
    root = begun(spans, "", keys, {"token": "1"})
    assert spans.unknown_folders(keys) == [""]
    spans.note_folders("", ["a/", "b/", "d/", "f/"], is_all=True)
    assert [span.after for span in spans.split_at_folders(9)] == ["d/", "f/"]
    assert spans.split_by_guess(root, keys, 9) == []
    assert spans.unknown_folders(["a/b/c", "a/b/d"]) == ["a/"]


def test_what_began_in_a_gap_of_which_nothing_was_known_has_nothing_after_it():
    """Two were asked for keys before a third's first: once one finds none, the other adds nothing behind the third's."""
    spans = Spans(prefix="")
    begun(spans, "", ["a/1", "a/2"], {"token": "1"})
    early, late = (spans.add(Span(prefix="", after=after)) for after in ("h", "p"))
    third = begun(spans, "x", ["x/a/1", "x/b/1"], {"token": "2"})
    assert not spans.begin(early, ["x/a/1", "x/b/1"])
    assert third.begins == "h"
    spans.note_folders("", ["x/a/", "x/b/", "x/c/"], is_all=True)
    assert [span.after for span in spans.split_at_folders(9)] == ["x/c/"]
    assert not spans.begin(late, ["x/a/1", "x/b/1"])
