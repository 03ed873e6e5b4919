"""Which URLs a key offers after each release: never one with other bytes, few, and with times that git-annex merges."""

from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.dataset.weblogs import MAX_URLS, Candidate, next_web_log

URLS = [f"http://h/{index:02}" for index in range(12)]


@st.composite
def releases(draw):
    """What the bucket is over a few releases: which URLs are the dataset's own, and which others still serve the key."""
    states = []
    for _ in range(draw(st.integers(1, 6))):
        right = draw(st.sets(st.sampled_from(URLS)))
        states.append((right, draw(st.sets(st.sampled_from(sorted(right)))) if right else set()))
    return states


def candidate(url):
    """The odd ones are versioned; every third is an older one, of an object that is gone or overwritten."""
    index = int(url[-2:])
    return Candidate(index % 2 == 0, index % 3 == 0, url.encode(), url)


def replay(states):
    """The log after each release, at times that grow by ten."""
    log = {}
    for index, (right, own) in enumerate(states):
        before, time = log, 10 * (index + 1)
        log = next_web_log(before, map(candidate, own), lambda url: candidate(url) if url in right else None, time)  # noqa: B023
        yield before, log, time, right, own


@given(releases())
def test_only_right_urls_are_offered_and_few(states):
    """Each offered URL serves the content, there are at most a few, and one of the dataset's own if there is any."""
    for before, after, _, right, own in replay(states):
        offered = {url for url, (_, is_offered) in after.items() if is_offered}
        assert offered <= right
        assert len(offered) <= MAX_URLS
        assert bool(offered) == bool(own or {url for url, (_, was) in before.items() if was} & right)


@given(releases())
def test_the_best_are_offered(states):
    """Versioned before current before the rest: no URL is left out for a worse one."""
    for before, after, _, right, own in replay(states):
        known = own | ({url for url, (_, was) in before.items() if was} & right)
        best = sorted(candidate(url) for url in known)[:MAX_URLS]
        assert {url for url, (_, is_offered) in after.items() if is_offered} == {entry.url for entry in best}


@given(releases())
def test_no_line_is_lost_and_times_grow(states):
    """A line changes only when its status does, and then at the release's time; git-annex's merge needs both."""
    for before, after, time, _, _ in replay(states):
        assert before.keys() <= after.keys()
        for url, (since, offered) in after.items():
            old = before.get(url)
            if old is not None and old[1] == offered:
                assert since == old[0]
            else:
                assert since == time > (0 if old is None else old[0])
        assert all(offered for url, (_, offered) in after.items() if url not in before)


@given(releases())
def test_nothing_new_changes_nothing(states):
    """The same bucket in the next release gives the same log, line by line."""
    *_, (_, log, time, right, own) = replay(states)
    again = next_web_log(log, map(candidate, own), lambda url: candidate(url) if url in right else None, time + 1)
    assert again == log


def test_a_withdrawn_url_that_serves_the_content_again_is_offered_again():
    """An object deleted and later put back: `0` and then `1`, each newer than the line before."""
    own = [candidate(URLS[1])]
    there = next_web_log({}, own, lambda _: None, 1)
    gone = next_web_log(there, [], lambda _: None, 2)
    back = next_web_log(gone, own, lambda _: None, 3)
    assert (there, gone, back) == tuple({URLS[1]: state} for state in ((1, True), (2, False), (3, True)))
