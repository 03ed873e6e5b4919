"""Commands in full view: what is shown, what is passed on to them, and how they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

import opendata_pkg
from opendata_pkg.demo.stage import Stage, StepFailedError, demo_environment, run_group, terminate_as_interrupt
from opendata_pkg.progress import Reporter


class Said(Reporter):
    """Keeps the messages."""

    def __init__(self):
        """Begin with none."""
        self.lines = []

    def message(self, text):
        """Keep one."""
        self.lines.append(text)


@pytest.fixture
def stage(tmp_path):
    """A stage whose messages are in `stage.reporter.lines`."""
    return Stage(reporter=Said(), folder=tmp_path, environment=demo_environment(tmp_path / "home"))


def test_command_is_shown_as_typed_with_its_output(stage):
    """A command is shown with its words quoted for a shell, and then what it said, cut after some lines."""
    assert stage.stock("printf", "%s\\n", "one two", "b", "c", lines=2) == "one two\nb\nc\n"
    assert stage.reporter.lines == ["$ printf '%s\\n' 'one two' b c", "    one two", "    b", "    … 1 more line"]


def test_failed_command_is_an_error_with_its_output(stage):
    """A command that ends with another status than 0 is an error that shows command, status and output; status 5."""
    with pytest.raises(StepFailedError, match=r"(?s)ended with 3.*\$ sh -c 'echo oh; exit 3'.*oh") as caught:
        stage.stock("sh", "-c", "echo oh; exit 3")
    assert caught.value.exit_status == 5


def test_exported_variables_reach_the_next_commands(stage):
    """What is exported is shown as a shell has it, and the commands after it see it."""
    stage.export({"GIT_AUTHOR_NAME": "A Scientist"})
    assert stage.stock("sh", "-c", 'echo "$GIT_AUTHOR_NAME"') == "A Scientist\n"
    assert "$ export GIT_AUTHOR_NAME='A Scientist'" in stage.reporter.lines


def test_environment_has_nothing_of_the_person(tmp_path, monkeypatch):
    """Commands see an empty home and neither settings, credentials nor proxies of whoever runs the demo."""
    for name in ("AWS_PROFILE", "GIT_AUTHOR_NAME", "DATALAD_LOG_LEVEL", "OPENDATA_STORE", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "mine")
    environment = demo_environment(tmp_path / "home")
    assert "mine" not in environment.values()
    assert environment["HOME"] == str(tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


def test_checks_are_counted(stage, tmp_path):
    """A check that holds is counted as passed; one that fails says what was expected and got, and the story goes on."""
    (tmp_path / "file").write_bytes(b"abd")
    stage.check("sums agree", expected=2, got=2)
    stage.check("counts agree", expected=3, got=4)
    stage.check_bytes("bytes agree", expected=b"abc", path=tmp_path / "file")
    stage.check_bytes("it is there", expected=b"abc", path=tmp_path / "absent")
    assert stage.passed == ["sums agree"]
    assert stage.failed[0] == "counts agree: expected 3, got 4"
    assert stage.failed[1].startswith("bytes agree: expected 3 bytes, sha256:ba7816bf")
    assert stage.failed[2].endswith("got no file")


def is_waiting(thread):
    """Whether a thread has started its command and waits for it."""
    frames = traceback.walk_stack(sys._current_frames()[thread.ident])
    return any(frame.f_code.co_name == "communicate" for frame, _ in frames)


def test_interrupt_ends_the_whole_group(tmp_path):
    """Interrupted while a command runs, the demo ends that command and its children, also on SIGTERM."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []

    def interrupt_when_started():
        # Opens when the grandchild has opened the other end, which stays open until it is gone.
        with pipe.open("rb") as stream:
            while not is_waiting(threading.main_thread()):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            read.append(stream.read())

    thread = threading.Thread(target=interrupt_when_started, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        run_group(["sh", "-c", f"sleep 60 > {pipe} & wait"], cwd=tmp_path, environment=os.environ)
    thread.join(10)
    assert read == [b""]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_opendata_is_run_by_this_python(stage):
    """`opendata` on the stage is this very package, whatever the folder."""
    root = str(Path(opendata_pkg.__file__).parents[1])
    stage.environment = {**stage.environment, "PYTHONPATH": root}
    assert stage.opendata("--version") == f"opendata {opendata_pkg.__version__}\n"
    assert stage.reporter.lines[0] == "$ opendata --version"
