"""The guard of the real home (tests/conftest.py) guards."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os, subprocess
from pathlib import Path

REAL_HOME = Path({real_home!r})

def test_well_behaved():
    subprocess.run(["git", "config", "--global", "user.name", "A Test"], check=True)
    assert Path.home() != REAL_HOME
    assert "AWS_PROFILE" not in os.environ

def test_that_writes_to_the_real_git_configuration():
    (REAL_HOME / ".gitconfig").write_text("[user]\\n")

def test_that_fills_the_real_cache():
    (REAL_HOME / ".cache" / "opendata").mkdir(parents=True)
"""


@pytest.fixture
def outcome(tmp_path):
    """What pytest says of three tests, one of which behaves, run by a person whose home is a folder of this test."""
    real_home, suite = tmp_path / "person", tmp_path / "suite"
    for folder in (real_home, suite):
        folder.mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), suite)
    (suite / "test_three.py").write_text(TESTS.format(real_home=str(real_home)))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "GIT_", "PYTEST_"))
    }
    environment |= {"HOME": str(real_home), "AWS_PROFILE": "someone"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", suite],
        capture_output=True,
        check=False,
        cwd=suite,
        env=environment,
        text=True,
    )
    return done.stdout


def test_a_test_that_touches_the_real_home_fails(outcome):
    """Writing a git configuration or a cache of the person who runs the tests is an error, and the file is named."""
    assert "3 passed, 2 errors" in outcome
    assert "the test touched the real home" in outcome
    assert "person/.gitconfig" in outcome
    assert "person/.cache/opendata" in outcome
