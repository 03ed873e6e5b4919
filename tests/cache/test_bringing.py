"""Many files at a time, in threads and in other processes: each has its result, whoever brought it."""

import hashlib
import inspect
import os
import pickle
import pkgutil
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import NamedTuple

import pytest

import opendata_pkg
from opendata_pkg.cache import bringing
from opendata_pkg.cache.bringing import StoppedError, bring_all, early_helper
from opendata_pkg.cache.download import DiskFullError, download
from opendata_pkg.cache.wanted import Wanted, WrongBytesError
from opendata_pkg.model import OpenDataError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.web.transport import BrokenTransferError, OfflineError, RefusedError, Transport
from opendata_pkg.workers import LostWorkerError
from tests.serving import behave, impatient, pause, serve

SMALL = random.Random(1).randbytes(20_000)
LARGE = random.Random(2).randbytes(9_000_000)


class AnOrder(NamedTuple):
    """A file to be brought."""

    wanted: Wanted
    target: str
    is_far: bool = True


class Brought(NamedTuple):
    """Which process brought it."""

    process: int
    size_bytes: int


@pytest.fixture
def web():
    """A web server."""
    with serve() as server:
        yield server


@pytest.fixture
def seen(tmp_path_factory):
    """A folder for `together`."""
    return tmp_path_factory.mktemp("seen")


@pytest.fixture
def helpers(monkeypatch):
    """As many other processes as wanted, for a few files too; none without it."""

    def use(count):
        monkeypatch.setattr(bringing, "count_cores", lambda: 1 + count)
        monkeypatch.setattr(bringing, "_MANY", 1)

    monkeypatch.setattr(bringing, "count_cores", lambda: 1)
    return use


def bring(order, transport, on_bytes):
    """What this test asks for, in whatever process."""
    got = download(order.wanted, order.target, transport=transport, on_bytes=on_bytes)
    return Brought(os.getpid(), got.size_bytes)


def together(order, transport, on_bytes, *, seen, processes):
    """As `bring`, as soon as so many processes are at it; each leaves its number in the folder `seen`."""
    (seen / f"{os.getpid()}").touch()
    deadline = time.monotonic() + 30
    while len(list(seen.iterdir())) < processes and time.monotonic() < deadline:
        time.sleep(0.02)
    return bring(order, transport, on_bytes)


def slowly(order, transport, on_bytes):
    """As `bring`, so that there is time to end it."""
    time.sleep(0.02)
    return bring(order, transport, on_bytes)


def wanted_of(content, url, name):
    """What a snapshot with this digest of the content says."""
    digest = hashlib.sha256(content).hexdigest()
    return Wanted(name=name, urls=(url,), size_bytes=len(content), sha256=digest)


def orders_of(web, folder, count, *scripts):
    """Orders for so many files, each of its own content."""
    contents = {f"{number}": random.Random(number).randbytes(2_000) for number in range(count)}
    return [
        AnOrder(wanted_of(content, web.put(name, content, *scripts), name), str(folder / name))
        for name, content in contents.items()
    ]


def outcomes_of(orders, *, how=bring, jobs=8, reporter=SILENT, transport=None, early=None):
    """The outcome of each, by name."""
    found = bring_all(how, orders, transport=transport or impatient(), jobs=jobs, reporter=reporter, early=early)
    pairs = [(orders[number].wanted.name, outcome) for number, outcome in found]
    assert len(dict(pairs)) == len(pairs) == len(orders)
    return dict(pairs)


def children():
    """The helpers that this process has started and that are not gone; servers of other tests may be there, too."""
    words = ["ps", "-ww", "-o", "args=", "--ppid", str(os.getpid())]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if "opendata_pkg.cache.helper" in line]


class _Counting(Reporter):
    def __init__(self):
        self.count, self._lock = 0, threading.Lock()

    def advance(self, count=1):
        with self._lock:
            self.count += count


@pytest.mark.parametrize("count", [0, 1, 3])
def test_many_at_a_time(web, tmp_path, seen, helpers, count):
    """One bad file stops no other; each has its result, and its own error; progress is in bytes."""
    helpers(count)
    orders = orders_of(web, tmp_path, 200)
    for number in (3, 197):
        orders[number] = orders[number]._replace(wanted=wanted_of(SMALL[:2_000], f"{web.url}/{number}", f"{number}"))
    for number in (7, 190):
        orders[number] = orders[number]._replace(
            wanted=wanted_of(SMALL[:2_000], f"{web.url}/none{number}", f"{number}")
        )
    reporter = _Counting()
    outcomes = outcomes_of(orders, how=partial(together, seen=seen, processes=1 + count), reporter=reporter)
    failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, OpenDataError)}
    assert {name: type(error) for name, error in failed.items()} == {
        "3": WrongBytesError,
        "197": WrongBytesError,
        "7": RefusedError,
        "190": RefusedError,
    }
    assert str(failed["197"]).startswith(f"197: expected sha256:{orders[197].wanted.sha256} as recorded, got sha256:")
    assert (failed["190"].status, failed["190"].url) == (404, f"{web.url}/none190")
    assert reporter.count == 196 * 2_000
    assert len(list(tmp_path.iterdir())) == 196
    assert len({outcome.process for name, outcome in outcomes.items() if name not in failed}) == 1 + count
    assert not children()


def test_large_files_are_not_given_away(web, tmp_path, seen, helpers):
    """What does not need Python's lock, or is to be looked for here, stays in this process; unknown sizes, too."""
    helpers(1)
    orders = orders_of(web, tmp_path, 60)
    large = [AnOrder(wanted_of(LARGE, web.put(name, LARGE), name), str(tmp_path / name)) for name in ("x", "y")]
    unknown = [
        AnOrder(Wanted(name="z", urls=orders[0].wanted.urls, size_bytes=None), str(tmp_path / "z")),
        AnOrder(orders[1].wanted, str(tmp_path / "near"), is_far=False),
    ]
    names = {order.target: order for order in [*orders, *large, *unknown]}
    found = {}
    how = partial(together, seen=seen, processes=2)
    for number, outcome in bring_all(
        how, list(names.values()), transport=impatient(timeout_s=30), jobs=4, reporter=SILENT
    ):
        found[list(names.values())[number].target] = outcome.process
    assert {found[order.target] for order in [*large, *unknown]} == {os.getpid()}
    assert len(set(found.values())) == 2


def test_few_files_start_no_process(web, tmp_path, monkeypatch):
    """Starting one would take longer than the files."""
    monkeypatch.setattr(bringing, "count_cores", lambda: 8)
    monkeypatch.setattr(bringing, "Helper", None)
    assert {outcome.process for outcome in outcomes_of(orders_of(web, tmp_path, 40)).values()} == {os.getpid()}


def test_a_process_that_is_there_early(web, tmp_path, seen, helpers, monkeypatch):
    """It brings files as any other does, and no other is started in its place."""
    helpers(1)
    how = partial(together, seen=seen, processes=2)
    with early_helper(8) as early:
        monkeypatch.setattr(bringing, "Helper", None)
        outcomes = outcomes_of(orders_of(web, tmp_path, 200), how=how, early=early)
    assert len({outcome.process for outcome in outcomes.values()}) == 2
    assert not children()


def test_an_early_process_that_nobody_needs(web, tmp_path, helpers, monkeypatch):
    """It is ended, be it that there is too little to do, or nothing."""
    helpers(1)
    monkeypatch.setattr(bringing, "_MANY", 100)
    with early_helper(8) as early:
        outcomes = outcomes_of(orders_of(web, tmp_path, 40), early=early)
    assert {outcome.process for outcome in outcomes.values()} == {os.getpid()}
    with early_helper(8):
        assert len(children()) == 1
    assert not children()


@pytest.mark.parametrize(("cores", "jobs"), [(1, 8), (2, 1)])
def test_an_early_process_that_could_not_help(monkeypatch, cores, jobs):
    """With one core, or one transfer at a time, there is nothing that it could do."""
    monkeypatch.setattr(bringing, "count_cores", lambda: cores)
    with early_helper(jobs) as early:
        assert early is None
        assert not children()


def test_nobody_waits_for_a_process_that_does_not_come(web, tmp_path, helpers, monkeypatch):
    """One that has not begun when all is done is not needed."""
    helpers(1)
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "slow"))
    begun = time.monotonic()
    outcomes = outcomes_of(orders_of(web, tmp_path, 40))
    assert time.monotonic() - begun < 30
    assert {outcome.process for outcome in outcomes.values()} == {os.getpid()}
    assert not children()


@pytest.mark.parametrize("count", [0, 1])
def test_a_far_server(web, tmp_path, helpers, count):
    """Where each answer takes long, up to sixteen are waited for at a time, by all processes together."""
    helpers(count)
    waited_for, most, lock = 0, 0, threading.Lock()

    def far(handler, content, etag):
        nonlocal waited_for, most
        with lock:
            waited_for += 1
            most = max(most, waited_for)
        time.sleep(0.1)
        with lock:
            waited_for -= 1
        behave(handler, content, etag)

    orders = orders_of(web, tmp_path, 96, far)
    outcomes = outcomes_of(orders, jobs=16, transport=impatient(timeout_s=30))
    assert 8 <= most <= 16
    assert not any(isinstance(outcome, OpenDataError) for outcome in outcomes.values())
    assert 8 <= web.connections <= 16


@pytest.mark.parametrize("count", [0, 1])
def test_offline(tmp_path, helpers, count):
    """Each file that is not there says so."""
    helpers(count)
    orders = [AnOrder(wanted_of(SMALL, "http://127.0.0.1:9/a", f"{n}"), str(tmp_path / f"{n}")) for n in range(20)]
    outcomes = outcomes_of(orders, jobs=2, transport=impatient(offline=True))
    assert {type(outcome) for outcome in outcomes.values()} == {OfflineError}


def test_whoever_stops_listening_stops_the_transfers(web, tmp_path, seen, helpers):
    """Closing the results ends what is under way, here and in other processes."""
    helpers(1)
    goes_on = threading.Event()
    slow = AnOrder(wanted_of(LARGE, web.put("x", LARGE, pause(goes_on, 1_000_000)), "x"), str(tmp_path / "x"))
    orders = [*orders_of(web, tmp_path, 500), slow]
    how = partial(together, seen=seen, processes=2)
    results = bring_all(how, orders, transport=impatient(timeout_s=60), jobs=4, reporter=SILENT)
    while next(results)[1].process == os.getpid():
        pass
    results.close()
    assert not children()
    goes_on.set()
    time.sleep(0.5)
    assert not (tmp_path / "x").exists()


def _die(order, transport, on_bytes, *, parent):
    del order, transport, on_bytes
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return Brought(os.getpid(), 0)


def test_a_process_that_is_killed(web, tmp_path, helpers):
    """That is said, and nobody waits for what it would have brought."""
    helpers(1)
    with pytest.raises(LostWorkerError, match=r"ended from outside \(SIGKILL\): what it did is kept"):
        outcomes_of(orders_of(web, tmp_path, 400), how=partial(_die, parent=os.getpid()))
    assert not children()


def _fill(order, transport, on_bytes, *, parent):
    if os.getpid() != parent:
        raise DiskFullError("the disk is full")
    time.sleep(0.05)
    return bring(order, transport, on_bytes)


def test_a_full_disk_ends_all(web, tmp_path, helpers):
    """It is no other file's luck, in whichever process it was seen."""
    helpers(1)
    with pytest.raises(DiskFullError, match="the disk is full"):
        outcomes_of(orders_of(web, tmp_path, 400), how=partial(_fill, parent=os.getpid()))
    assert not children()


MANY = """
import sys, time
from opendata_pkg.cache import bringing
from tests.cache.test_bringing import AnOrder, slowly
from opendata_pkg.progress import SILENT
from opendata_pkg.web.transport import Transport
from opendata_pkg.cache.wanted import Wanted
bringing.count_cores, bringing._MANY = lambda: 2, 1
url, folder = sys.argv[1:]
orders = [
    AnOrder(Wanted(name=f"{n}", urls=(f"{url}/a",), size_bytes=20_000, sha256=HEX), f"{folder}/{n}")
    for n in range(2000)
]
for number, outcome in bringing.bring_all(slowly, orders, transport=Transport.create(), jobs=4, reporter=SILENT):
    print(outcome.process, flush=True)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_nobody_is_left_behind(web, tmp_path, blow):
    """However it is ended, its helper ends too; what is there is whole."""
    web.put("a", SMALL)
    code = MANY.replace("HEX", repr(hashlib.sha256(SMALL).hexdigest()))
    with subprocess.Popen(
        [sys.executable, "-c", code, web.url, tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        seen = {process.pid}
        while len(seen) < 2:
            seen.add(int(process.stdout.readline()))
        if blow == signal.SIGINT:
            # As a terminal does it.
            os.killpg(process.pid, blow)
        else:
            process.kill()
        process.stdout.read()
        errors = process.stderr.read()
    assert ("KeyboardInterrupt" in errors) == (blow == signal.SIGINT)
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt")
    (helper,) = seen - {process.pid}
    deadline = time.monotonic() + 10
    while _is_running(helper) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(helper)
    whole = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert 0 < len(whole) < 2_000
    assert all(path.read_bytes() == SMALL for path in whole)


def _is_running(number):
    """Whether there is such a process, and not only its exit status, of which nobody has asked yet."""
    words = ["ps", "-o", "stat=", "-p", f"{number}"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() not in ("", "Z")


def _errors():
    for module in pkgutil.walk_packages(opendata_pkg.__path__, "opendata_pkg."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                for _, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
                    if issubclass(kind, OpenDataError):
                        yield kind


@pytest.mark.parametrize("kind", sorted(set(_errors()), key=str), ids=lambda kind: kind.__name__)
def test_errors_go_between_processes(kind):
    """Whatever an error is made from, its kind, its sentence, its fields and its notes arrive."""
    error = kind.__new__(kind)
    Exception.__init__(error, "expected this, got that")
    error.url = "https://example.org"
    error.add_note("seen elsewhere")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert again.exit_status == kind.exit_status


@pytest.mark.parametrize(
    "error",
    [
        WrongBytesError("a", "2 bytes", "1 bytes", "http://example.org/a"),
        RefusedError("http://example.org/a", "no", 404, b"x"),
        BrokenTransferError("http://example.org/a", "broke", 2.0),
        StoppedError("stopped"),
    ],
)
def test_errors_of_transfers_go_between_processes(error):
    """As the last test, with what they have in truth."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_transport_goes_between_processes():
    """With its settings, and none of its connections."""
    again = pickle.loads(pickle.dumps(impatient(offline=True, tries=3, connections=2)))  # noqa: S301 - our own
    assert isinstance(again, Transport)
    with pytest.raises(OfflineError):
        again.open("http://127.0.0.1:9/a")
    assert vars(again)["_settings"] == (2, True, 3, 0.01, 0.5)
