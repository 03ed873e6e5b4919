"""What every test gets: an empty home of its own, and on request real servers on loopback.

No test may touch the home of whoever runs it: their git configuration and caches are looked at before and after.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from opendata_pkg.demo.server import S3Server
from opendata_pkg.web.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How long an example takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_REAL_HOME = Path.home()
_REAL_CACHE = Path(os.environ.get("XDG_CACHE_HOME", _REAL_HOME / ".cache"))
_REAL_CONFIG = Path(os.environ.get("XDG_CONFIG_HOME", _REAL_HOME / ".config"))
_GUARDED = (
    _REAL_HOME / ".gitconfig",
    _REAL_HOME / ".aws",
    _REAL_CONFIG / "git",
    _REAL_CONFIG / "datalad",
    _REAL_CONFIG / "git-annex",
    _REAL_CACHE / "opendata",
    _REAL_CACHE / "datalad",
    _REAL_CACHE / "pooch",
)
# Where the person's package index and certificates are is theirs to say, wherever HOME is.
_KEPT = ("AWS_CA_BUNDLE", "GIT_SSL_CAINFO")
_DROPPED_PREFIXES = ("AWS_", "DATALAD_", "GIT_", "OPENDATA_", "XDG_")
_DROPPED = ("all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy")


def _state_of(path: Path) -> object:
    """What a change of a file, or of a folder's own entries, would change."""
    try:
        found = path.lstat()
    except OSError:
        return None
    entries = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    return found.st_ino, found.st_mtime_ns, entries


def _set_environment(home: Path, patch: pytest.MonkeyPatch) -> None:
    """An empty home, no git identity, no credentials, no proxies; the time zone and the locale stay as they are."""
    for name in list(os.environ):
        if (name.startswith(_DROPPED_PREFIXES) and name not in _KEPT) or name.lower() in _DROPPED:
            patch.delenv(name)
    home.mkdir(parents=True, exist_ok=True)
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    git_config = home / "gitconfig"
    git_config.touch()
    patch.setenv("HOME", str(home))
    patch.setenv("OPENDATA_CACHE", str(home / "cache" / "opendata"))
    patch.setenv("GIT_CONFIG_GLOBAL", str(git_config))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("GIT_TERMINAL_PROMPT", "0")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", str(home / "aws-config"))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "aws-credentials"))
    # git finds git-annex on PATH; the one installed beside this interpreter is the one that is tested.
    patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    for config in (_REAL_CONFIG / "pip" / "pip.conf", _REAL_HOME / ".pip" / "pip.conf"):
        if config.is_file() and "PIP_CONFIG_FILE" not in os.environ:
            patch.setenv("PIP_CONFIG_FILE", str(config))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Commands that tests start can be interrupted, also where a shell started the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers and other things that outlive a test do not see the real home either."""
    with pytest.MonkeyPatch.context() as patch:
        _set_environment(tmp_path_factory.mktemp("session-home"), patch)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home folder for this test; the test fails if it touched the real one."""
    before = [_state_of(path) for path in _GUARDED]
    folder = tmp_path_factory.mktemp("home")
    _set_environment(folder, monkeypatch)
    yield folder
    touched = [str(path) for path, state in zip(_GUARDED, before, strict=True) if _state_of(path) != state]
    if touched:
        pytest.fail(f"the test touched the real home: {', '.join(touched)}")


@pytest.fixture
def git_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody to commit as: what `git annex init` and `datalad clone` need, and an empty home has not."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A Scientist")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "scientist@example.org")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server on loopback, one for each process that runs tests; every test makes its own buckets."""
    with S3Server.start(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transfers that fail are tried as often as ever, but nobody waits for seconds in between."""
    wait = Transport.wait

    def wait_less(transport: Transport, failures: int, at_least_s: float = 0.0) -> None:
        wait(transport, failures - 6, at_least_s)

    monkeypatch.setattr(Transport, "wait", wait_less)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def static_server() -> Iterator[Callable[[Path], str]]:
    """Serve folders as any static web server would: call it with a folder, get the URL."""
    servers = []

    def serve(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def run_opendata(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command as a person does, in a process of its own, from the test's folder.

    `run_opendata("tree", "--json")` fails the test unless the status is 0; `check=False` hands any status back.
    `env` is added to the environment, `cwd` is where it runs.
    """

    def run(
        *words: str | Path, env: dict[str, str] | None = None, check: bool = True, cwd: Path = tmp_path
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "opendata_pkg", *map(str, words)],
            capture_output=True,
            check=False,
            cwd=cwd,
            encoding="utf-8",
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            pytest.fail(f"opendata {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr}")
        return done

    return run
