"""Two things at a time: results, errors, and who waits for whom."""

import threading
import time

import pytest

from opendata_pkg.git.beside import beside


def test_the_result_is_handed_in():
    """The block waits for the result when it needs it, and goes on until then."""
    begun, go = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go.wait(10)
        return 3

    with beside(work) as result:
        assert begun.wait(10)
        go.set()
        assert result() == 3


def test_a_block_that_never_asked_waits():
    """After the block, the work beside it is done."""
    done = []
    with beside(lambda: (time.sleep(0.05), done.append(1))):
        pass
    assert done == [1]


def test_an_error_is_raised_in_the_block():
    """What goes wrong beside the block is raised where it is waited for, at the latest in its end."""

    def fail():
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"), beside(fail):
        pass


def test_a_block_that_fails_is_heard_first():
    """The block's own error is the one that is raised, and it does not wait for ever."""
    go = threading.Event()
    with pytest.raises(KeyError), beside(lambda: go.wait(30)):
        raise KeyError
    go.set()
