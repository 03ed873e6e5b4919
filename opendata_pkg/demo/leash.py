"""Run a command until it ends or until nobody holds the other end of our standard input; then nothing of it is left.

Run as a script by `opendata_pkg.demo.server`: `python leash.py SOCKET… -- COMMAND…`. The command is killed when
standard input reaches its end, which the kernel sees to even where the parent was killed and could run no clean-up
code: this works on every POSIX system, where a parent-death signal would be Linux's alone. The named sockets, which a
killed command leaves behind, are removed. The exit status is the command's, 1 if it was killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path


def main() -> int:
    """See the module's docstring."""
    border = sys.argv.index("--")
    sockets, command = sys.argv[1:border], sys.argv[border + 1 :]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def wait_for_end() -> None:
        # Not sys.stdin: a thread inside its buffer's lock at exit would be a fatal error of the interpreter.
        while os.read(0, 1):
            pass
        process.kill()

    threading.Thread(target=wait_for_end, daemon=True).start()
    status = process.wait()
    for socket in sockets:
        Path(socket).unlink(missing_ok=True)
    return status if status >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
