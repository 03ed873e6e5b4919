"""What a command costs, measured from outside: seconds, processor time, and the memory of its largest process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# A small process starts the one that is measured: a child's peak memory is at least that of its parent's.
_LAUNCHER = """\
import os, resource, sys, time
begun = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                       file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status = os.waitpid(child, 0)
seconds, usage = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""


class Cost(NamedTuple):
    """What a command took: seconds by the clock, of processors, and megabytes of its largest process at its peak."""

    seconds: float
    processor: float = 0.0
    megabytes: float = 0.0

    def then(self, other: Cost) -> Cost:
        """The cost of this, and of another after it."""
        return Cost(
            self.seconds + other.seconds, self.processor + other.processor, max(self.megabytes, other.megabytes)
        )


def run(command: Sequence[str | Path], cwd: Path, *, data: bytes = b"", **environment: str) -> Cost:
    """Run a command to its end; `data` is its standard input, and `environment` is added to ours."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(data)
        stdin.seek(0)
        done = subprocess.run(
            [sys.executable, "-S", "-c", _LAUNCHER, *command],
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=stdin,
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"{command} failed:\n{done.stderr.decode(errors='replace')}")
    return Cost(*map(float, done.stdout.split()))


def opendata(*words: str | Path) -> list[str | Path]:
    """One of our commands, as a person starts it."""
    return [sys.executable, "-m", "opendata_pkg", *words]
