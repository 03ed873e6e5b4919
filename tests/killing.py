"""Runs `build` or `release` on copies of a store, each killed one step later: what a power cut would leave behind.

`python -m tests.killing release STORE VERSION COPIES` (or `build STORE SNAPSHOT COPIES`) leaves `COPIES/0001`, …, the
store as it was before its n-th change of the file system or call of git, and prints their names and, at the end, `done`.
A process of its own, because a fork of one with threads is no clean experiment.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from opendata_pkg.build import build, catalogue_for
from opendata_pkg.git.repository import git_environment
from opendata_pkg.release import release
from opendata_pkg.snapshot import Snapshot
from opendata_pkg.store import Store

# Raised by Python before it asks the system: after the last of them nothing changes any more. Of `open`, only those for
# writing count; the bytes written are in place with the renaming that follows.
_STEPS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "subprocess.Popen"}


def run_until(step: int, what: str, store: Path, argument: str) -> bool:
    """Run in a child process, killed before its `step`-th change; False if it ended before."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    count = 0

    def kill(event: str, arguments: object) -> None:  # noqa: ARG001 - as audit hooks are called
        nonlocal count
        count += event in _STEPS
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    if what == "release":
        release(argument, store)
    else:
        build(Snapshot.read(Path(argument)), catalogue_for(store, None), store)
    os._exit(0)


def main() -> None:
    """One copy of the store for every step."""
    what, store, argument, copies = sys.argv[1:5]
    every = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    # What is made once for each process is made before the forks, which share it.
    git_environment()
    Store.open(Path(store)).latest()
    step = 1
    killed = True
    while killed:
        copy = Path(copies) / f"{step:04}"
        shutil.copytree(store, copy, symlinks=True)
        killed = run_until(step, what, copy, argument)
        sys.stdout.write(f"{copy.name}\n" if killed else "done\n")
        step += every


if __name__ == "__main__":
    main()
