"""Runs `build` or `release` on copies of a store, each stopped one step later: what a power cut would leave behind.

`python -m tests.killing SIGKILL release STORE VERSION COPIES EVERY` (or `… build STORE SNAPSHOT …`) leaves `COPIES/0001`
and so on, the store as it was before its n-th change of the file system or call of git, every EVERY-th of them; prints
their names and, at the end, `done`. With SIGINT, the work is interrupted there, as by Ctrl-C, and may tidy up.

A process of its own, because a fork of one with threads is no clean experiment.
"""

import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.git.repository import git_environment
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.store import Store

# Raised by Python before it asks the system: after the last of them nothing changes any more. Of `open`, only those for
# writing count; the bytes written are in place with the renaming that follows.
_STEPS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "subprocess.Popen"}


def run_until(step: int, stop: signal.Signals, what: str, store: Path, argument: str) -> bool:
    """Run in a child process, stopped before its `step`-th change; False if it ended before."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in {0, -stop}:
            sys.exit(f"the work failed by itself before step {step}")
        return code == -stop
    count = 0

    def stop_at_step(event: str, arguments: object) -> None:
        nonlocal count
        count += event in _STEPS
        if event in _STEPS and count == step:
            if stop == signal.SIGINT:
                raise KeyboardInterrupt
            os.kill(os.getpid(), stop)

    sys.addaudithook(stop_at_step)
    try:
        work(what, store, argument)
    except KeyboardInterrupt:
        # As a program does that took the signal, after it has tidied up.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(sys.exc_info()[0] is not None)


def work(what: str, store: Path, argument: str) -> None:
    """What is to be stopped."""
    if what == "release":
        release(argument, store)
    else:
        build(Snapshot.read(Path(argument)), Catalogue.load(Path(argument).with_name("catalogue.yaml")), store)


def main() -> None:
    """One copy of the store for every step."""
    stop, what, store, argument, copies, every = sys.argv[1:]
    # What is made once for each process is made before the forks, which share it.
    git_environment()
    with tempfile.TemporaryDirectory() as scratch:
        Store.open_or_create(Path(scratch), "any")
    step = 1
    stopped = True
    while stopped:
        copy = Path(copies) / f"{step:04}"
        shutil.copytree(store, copy, symlinks=True)
        stopped = run_until(step, signal.Signals[stop], what, copy, argument)
        sys.stdout.write(f"{copy.name}\n" if stopped else "done\n")
        step += int(every)


if __name__ == "__main__":
    main()
