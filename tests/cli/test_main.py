"""The command line as a whole: help, usage, exit statuses, and where things are printed."""

import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer

from opendata_pkg import __version__
from opendata_pkg.cli.errors import errors_as_sentences, os_error_sentence
from opendata_pkg.cli.main import SECTIONS, app, function_of
from opendata_pkg.cli.output import Output, get_output
from opendata_pkg.model import InputError, MismatchError, NotFoundError, OpenDataError, SourceError, UsageError
from tests.core_support import entry_of, opendata, snapshot_of

COMMANDS = [*chain.from_iterable(SECTIONS.values())]
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_all_commands_of_the_contract_are_there():
    """The commands that scripts rely on exist under their names."""
    assert {"scan", "hash", "tree", "build", "release", "demo"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, run_opendata):
    """`opendata COMMAND --help` says what the command does, and each of its options what it is for."""
    text = run_opendata(command, "--help", env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    assert f"Usage: opendata {command}" in text
    options = [line for line in text.splitlines() if line.lstrip("│ ").startswith("-")]
    assert options
    # The help stands after the words, two blanks apart.
    assert [line for line in options if not re.search(r"\S {2,}\S.*[a-z]{3}", line)] == []


@pytest.mark.parametrize("function", [function_of(name) for name in COMMANDS], ids=COMMANDS)
def test_help_texts_are_plain(function):
    """No markup, and no escapes for one: people would see the signs."""
    hints = get_type_hints(function, include_extras=True).values()
    texts = [inspect.getdoc(function), *(getattr(extra, "help", None) for hint in hints for extra in get_args(hint))]
    for text in filter(None, texts):
        assert "\\[" not in text
        assert not re.search(r"\[/?(?:b|i|bold|italic|dim|red|green|link)\b[^]]*\]", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command):
    """The reference has a section for every command."""
    assert f"\n## opendata {command}\n" in REFERENCE.read_text()


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_every_command_speaks_json(command, run_opendata):
    """Every command takes `--json` and `--quiet`."""
    text = run_opendata(command, "--help", env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    assert "--json" in text
    assert "--quiet" in text


def test_version(run_opendata):
    """`--version` prints the package's version on stdout."""
    assert run_opendata("--version").stdout == f"opendata {__version__}\n"


def test_one_version_everywhere():
    """The package, its metadata and its citation name one version."""
    root = Path(__file__).parents[2]
    assert f'\nversion = "{__version__}"\n' in (root / "pyproject.toml").read_text()
    assert f"\nversion: {__version__}\n" in (root / "CITATION.cff").read_text()


@pytest.mark.parametrize(
    "words",
    [["frobnicate"], ["--frobnicate"], ["scan"], ["build"], ["scan", "a", "--jobs", "0"], ["tree", "--nonsense"]],
)
def test_wrong_usage_is_2(words, run_opendata):
    """Unknown commands and options, missing arguments and impossible values end with 2 and say so on stderr."""
    done = run_opendata(*words, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage: opendata" in done.stderr


def test_help_is_quick():
    """`opendata --help` loads none of the heavy libraries."""
    code = "import sys, opendata_pkg.cli.main; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    heavy = {"boto3", "botocore", "pyarrow", "jsonschema", "frictionless", "pooch", "datalad"}
    assert loaded & heavy == set()


@pytest.mark.parametrize(
    ("error", "status"),
    [(UsageError, 2), (InputError, 3), (NotFoundError, 4), (SourceError, 5), (MismatchError, 6)],
)
def test_errors_become_sentences(error, status, capsys):
    """Every foreseen error is one sentence on stderr and its documented status, without a traceback."""
    Output()
    with pytest.raises(typer.Exit) as caught, errors_as_sentences():
        raise error("expected a, got b [bold]; do c")
    assert caught.value.exit_code == status
    assert capsys.readouterr() == ("", "error: expected a, got b [bold]; do c\n")


def test_every_status_is_documented():
    """docs/reference/exit-status.md has a row for each status that an error class or the table can give."""
    page = (REFERENCE.parent / "exit-status.md").read_text()
    statuses = {error.exit_status for error in [OpenDataError, *OpenDataError.__subclasses__()]} | {0, 1, 130, 141}
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == statuses


def test_a_full_disk_is_a_sentence():
    """A full disk is called so, with the file where it showed, and what to do."""
    sentence = os_error_sentence(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/store/index.json"))
    assert sentence == (
        "the disk is full: /store/index.json; what is complete stays as it is: free space and run the same command again"
    )


@pytest.mark.parametrize("command", ["build", "release", "sync", "fetch", "scan", None])
def test_only_publishers_are_told_that_nothing_was_published(command):
    """A reader has published nothing on any day."""
    for number in (errno.ENOSPC, errno.EIO):
        sentence = os_error_sentence(OSError(number, os.strerror(number)), command)
        assert ("nothing was published" in sentence) is (command in {"build", "release"})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_really_full_disk_ends_with_5(capsys):
    """The system's own error for a full disk ends with status 5."""
    Output()
    with pytest.raises(typer.Exit) as caught, errors_as_sentences():
        Path("/dev/full").write_bytes(b"x")
    assert caught.value.exit_code == 5
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
@pytest.mark.parametrize("words", ["--help", "--version", "tree --help", "tree"])
def test_output_that_cannot_be_written_is_told(words):
    """Also of what is printed before any command runs: one sentence and status 5, no traceback."""
    command = [sys.executable, "-m", "opendata_pkg", *words.split()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 5
    assert re.fullmatch(r"error: the disk is full; what is complete stays[^\n]*\n", done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(closed, tmp_path):
    """Some start commands without standard streams: all is done, and no file takes a stream's place."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "a").write_text("x")
    scan = f"{sys.executable} -m opendata_pkg scan bucket --base-url http://example.org/ --out made.parquet"
    done = subprocess.run(["bash", "-c", f"{scan} {closed}"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "made.parquet").read_bytes().startswith(b"PAR1")


def test_a_refusal_names_the_file():
    """What the system does not allow is named with its path and reason."""
    sentence = os_error_sentence(PermissionError(errno.EACCES, "Permission denied", "/store"))
    assert sentence == "not allowed: /store (Permission denied); check who owns it and its permissions, then run again"


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written_says_where_else(reason, monkeypatch, tmp_path):
    """Homes of clusters and containers may be read-only: whose cache is there is told how to move it."""
    monkeypatch.setenv("OPENDATA_CACHE", str(tmp_path / "home" / ".cache" / "opendata"))
    for path in (tmp_path / "home" / ".cache", tmp_path / "home" / ".cache" / "opendata" / "files" / "a"):
        sentence = os_error_sentence(OSError(reason, os.strerror(reason), str(path)))
        assert sentence.startswith(f"cannot write the cache: {path} (")
        assert sentence.endswith("set OPENDATA_CACHE to a folder that you may write to")
    for other in (tmp_path, tmp_path / "store", None):
        assert "OPENDATA_CACHE" not in os_error_sentence(OSError(reason, os.strerror(reason), other and str(other)))


def run_as_command(body, stdout=subprocess.PIPE, **environment):
    """Run one statement as the command `opendata do`, with everything that the real ones have around them."""
    code = (
        "import os, signal\n"
        "from opendata_pkg.cli.main import app, main\n"
        "from opendata_pkg.cli.output import Output\n"
        f"app.command('do')(lambda: {body})\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "do"]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, check=False, env={**os.environ, **environment}
    )


def test_ctrl_c_is_130():
    """An interrupted command says so in one sentence and ends with 130."""
    done = run_as_command("os.kill(os.getpid(), signal.SIGINT)")
    assert (done.returncode, done.stdout) == (128 + signal.SIGINT, b"")
    assert done.stderr == (
        b"error: interrupted: nothing half-made was left under its name; run the same command again to go on\n"
    )


def test_ctrl_c_while_the_command_is_imported():
    """Whoever changes their mind at once sees no traceback."""
    code = (
        "import signal, sys\n"
        "class Late:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Late())\n"
        "from opendata_pkg.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


LATE = """\
import atexit, sys
from opendata_pkg.__main__ import main
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            atexit.register(print, "at the end")
sys.meta_path.insert(0, Late())
main()
"""


@pytest.mark.parametrize(
    ("words", "status", "said"), [(["--version"], 0, b"opendata "), (["find", "nothing.parquet"], 4, b"at the end")]
)
def test_the_end(tmp_path, words, status, said):
    """What is to be called at the end is called, all that was printed arrives, and so does the exit status."""
    done = subprocess.run([sys.executable, "-c", LATE, *words], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == status
    assert done.stdout.startswith(said)
    assert done.stdout.endswith(b"at the end\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_what_cannot_be_written_at_the_very_end(tmp_path, monkeypatch):
    """Python says so in its own words, with its own status."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-c", LATE, "find", "nothing.parquet"]
        done = subprocess.run(words, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 120
    assert b"No space left on device" in done.stderr


def test_a_defect_shows_where_it_is():
    """What nobody foresaw is not dressed up: Python's own traceback and status."""
    done = run_as_command("1 / 0")
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"ZeroDivisionError" in done.stderr


def test_a_reader_who_leaves_is_no_error():
    """`opendata … | head -0` complains about nothing and ends as other commands do, with 141."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        done = run_as_command("Output().result(None, 'a result')", stdout=closed)
    assert (done.returncode, done.stderr) == (141, b"")


def test_json_goes_to_stdout_alone(capsys):
    """With `--json`, stdout holds one JSON document and nothing else; messages go to stderr."""
    out = Output(json=True)
    out.message("a word")
    out.result({"é": 1}, "text for people")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"é": 1}
    assert printed.err == "a word\n"


def test_text_is_for_people(capsys):
    """Without `--json`, stdout holds the text, ended with one line end."""
    Output().result({"a": 1}, "one line")
    assert capsys.readouterr().out == "one line\n"


def test_quiet_keeps_results_and_errors(capsys):
    """`--quiet` leaves out messages and progress, never results or errors."""
    out = Output(quiet=True)
    out.message("a word")
    out.start("listing", total=2)
    out.advance()
    out.result({}, "the result")
    out.error("a fault")
    assert capsys.readouterr() == ("the result\n", "error: a fault\n")


def test_errors_reach_the_output_of_the_run():
    """The newest output made is the one of this run."""
    out = Output(quiet=True)
    assert get_output() is out


def test_utf8_whatever_the_locale():
    """Results are UTF-8 even where the terminal's letters are ASCII."""
    done = run_as_command(r"Output(json=True).result('\u00e9')", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.stdout == '"é"\n'.encode()


@pytest.mark.parametrize("command", [name for names in SECTIONS.values() for name in names])
def test_empty_places_are_refused(command, tmp_path, monkeypatch):
    """`--store "$STORE"` of a script that never set it does not mean the current folder; nor does any other place."""
    monkeypatch.chdir(tmp_path)
    made = typer.main.get_command(app).get_command(None, command)
    kinds = {"DIR", "[DIR]", "FILE", "PATH", "[PATH]...", "PATH|URL", "DIR|URL", "SNAPSHOT", "SOURCE", "STORE", "URL"}
    arguments = [param for param in made.params if not param.opts[0].startswith("-")]
    for param in made.params:
        if param.metavar not in kinds:
            continue
        option = [param.opts[0], ""] if param not in arguments else []
        words = ["" if one is param else "x" for one in arguments]
        status, out, said = opendata(command, *option, "--", *words)
        assert (status, out) == (2, "")
        assert re.fullmatch(r"error: expected \S+ to name a place, got an empty text: .* write a dot\n", said)
    assert list(tmp_path.iterdir()) == []


def test_names_cannot_write_to_the_terminal(run_opendata, tmp_path):
    """In messages and tables, names that turn the direction or move the cursor are seen as they are; JSON has them."""
    name = "Rat/\u202egpj.\x9bexe\u2066.swc"
    snapshot_of(entry_of(name, "a"), base_url="http://127.0.0.1:9/").write(tmp_path / "x.parquet")
    shown = "Rat/%E2%80%AEgpj.%25C2%259Bexe%E2%81%A6.swc"
    for words in (("find", "x.parquet"), ("diff", "x.parquet", "x.parquet")):
        done = run_opendata(*words)
        assert not re.search("[\u202e\u2066\x9b]", done.stdout + done.stderr)
    assert shown.replace("%25", "%") in run_opendata("find", "x.parquet").stdout
    assert "\u202e" in run_opendata("find", "x.parquet", "--format", "paths").stdout
    assert "\u202e" in json.loads(run_opendata("find", "x.parquet", "--json").stdout)["found"][0]["path"]
    error = run_opendata("find", "\u202e@1.0.0", "--store", "\u202enowhere", check=False).stderr
    assert "%E2%80%AEnowhere" in error
    assert "\u202e" not in error
