"""Many things at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import closing

import pytest

from opendata_pkg.parallel import _AHEAD, Pace, ahead, map_unordered


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


def paced(use_of, *, jobs, done_s):
    """How many threads there mostly are, where n threads use so much, and a result takes so many seconds of one."""
    now_s = used_s = done = 0.0
    pace, seen = Pace(now_s, jobs), Counter()
    for _ in range(500):
        now_s += 0.011
        used_s += 0.011 * use_of(pace.threads)
        done += 0.011 * use_of(pace.threads) / done_s
        before = pace.threads
        assert pace.change(now_s, used_s, int(done)) == pace.threads - before
        assert 1 <= pace.threads <= jobs
        seen[pace.threads] += 1
    return seen.most_common(1)[0][0]


@pytest.mark.parametrize(
    ("use_of", "done_s", "threads"),
    [
        # Waiting for a far server; for one that is nearer, until the processor is busy.
        (lambda threads: 0.005 * threads, 0.0003, {16}),
        (lambda threads: min(1.0, 0.2 * threads), 0.0003, {4, 5, 6}),
        # Long work, of which nothing is known, or whose results come all at once.
        (lambda threads: 0.001 * threads, 100, {16}),
        (lambda threads: min(2.0, threads), 0.1, {16}),
        # Python's lock is taken all the time, also by one alone.
        (lambda threads: min(1.0, 0.8 * threads), 0.0003, {1}),
        # Hashing, on eight cores.
        (lambda threads: min(8.0, threads), 0.002, {8, 9}),
    ],
)
def test_how_many_threads_pay(use_of, done_s, threads):
    """As many as there is something to wait for, or as there are cores to use."""
    assert paced(use_of, jobs=16, done_s=done_s) in threads


def test_a_server_that_gets_slow():
    """Threads that were too many are not, once there is something to wait for; one more or less loses no item."""
    near, far = [0.0] * 3_000, [0.02] * 200

    def work(wait_s):
        if wait_s:
            time.sleep(wait_s)
            return threading.get_ident()
        return sum(range(5_000)) and threading.get_ident()

    outcomes = list(map_unordered(work, near + far, jobs=16))
    assert len(outcomes) == 3_200
    assert len({thread for wait_s, thread in outcomes if wait_s}) >= 8


def test_waiting_is_done_together():
    """Where each item waits, many of sixteen jobs do so at a time."""
    waiting, most, lock = 0, 0, threading.Lock()

    def wait(_):
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        time.sleep(0.05)
        with lock:
            waiting -= 1

    assert len(list(map_unordered(wait, range(320), jobs=16))) == 320
    assert 8 < most <= 16


def test_quick_results_that_do_not_follow_each_other_are_handed_over():
    """Nothing waits for company: the first result is there long before the second."""
    with closing(map_unordered(lambda number: time.sleep(10 * number), range(2), jobs=2)) as outcomes:
        begun = time.monotonic()
        assert next(outcomes)[0] == 0
        assert time.monotonic() - begun < 5


def test_one_job_needs_no_thread():
    """It is done by whoever asked, when they ask."""
    assert [thread for _, thread in map_unordered(lambda _: threading.get_ident(), range(3), jobs=1)] == [
        threading.get_ident()
    ] * 3


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
            assert len(made) <= count + 2 * (_AHEAD + 2)
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


def test_as_many_as_wanted_begin_at_once(monkeypatch):
    """Where each item is known to wait, nobody looks first whether it does."""
    monkeypatch.setattr(Pace, "change", lambda *_: 0)
    together = threading.Barrier(8)
    results = map_unordered(lambda item: together.wait(10) * 0 + item, range(8), jobs=8, at_once=8)
    assert sorted(results) == [(item, item) for item in range(8)]
