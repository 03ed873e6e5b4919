"""Many things at a time."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from opendata_pkg.parallel import ahead, map_unordered


@pytest.mark.parametrize("jobs", [1, 3, 50])
def test_every_item_has_its_result(jobs):
    """Each once, whatever the order."""
    found = dict(map_unordered(lambda number: number * 2, range(100), jobs=jobs))
    assert found == {number: number * 2 for number in range(100)}


@pytest.mark.parametrize("jobs", [0, 1, 20])
def test_nothing_to_do(jobs):
    """No items are no results, at once, also from as many jobs as there are items."""
    assert list(map_unordered(str, [], jobs=jobs)) == []


def test_slow_work_gets_all_its_threads():
    """Where results let wait, all jobs run at once: each waits here for all the others."""
    together = threading.Barrier(12, timeout=20)
    assert len(list(map_unordered(lambda _: together.wait(), range(12), jobs=12))) == 12


def test_no_more_than_jobs_run_and_items_are_taken_late():
    """Neither the work nor the list of it piles up."""
    running, most, taken = 0, 0, 0
    lock = threading.Lock()

    def items():
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    def work(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1

    with closing(map_unordered(work, items(), jobs=4)) as outcomes:
        for _, _ in zip(range(10), outcomes, strict=False):
            pass
        assert taken <= 30
    assert most <= 4


@pytest.mark.parametrize("place", ["function", "items"])
def test_the_first_error_is_raised_to_who_asked(place):
    """And the rest is not worked off."""
    done = []

    def items():
        yield from range(5)
        if place == "items":
            raise ZeroDivisionError
        yield from range(5, 1000)

    def work(number):
        if place == "function" and number == 5:
            raise ZeroDivisionError
        done.append(number)

    with pytest.raises(ZeroDivisionError):
        list(map_unordered(work, items(), jobs=2))
    assert len(done) < 20


def test_nothing_to_do_is_done_at_once():
    """No items, no results."""
    assert list(map_unordered(str, [], jobs=4)) == []


def test_no_items_are_no_work():
    """Also where the number of jobs was made to fit them."""
    assert list(map_unordered(str, [], jobs=0)) == []


def test_stages_work_ahead_of_each_other():
    """In order; each makes what is next while what it made is used, and no more than that."""
    made = []

    def numbers():
        for number in range(1000):
            made.append(number)
            yield number

    with closing(ahead(number + 1 for number in ahead(numbers()))) as stages:
        for count, number in zip(range(1, 101), stages, strict=False):
            assert number == count
            assert len(made) <= count + 6
    assert list(ahead(range(50))) == list(range(50))


def test_an_error_of_a_stage_comes_after_what_was_made_before():
    """As in a plain loop."""

    def numbers():
        yield from range(3)
        raise ZeroDivisionError

    stages = ahead(ahead(numbers()))
    assert [next(stages) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(stages)
