"""The wheel works by itself: what the checkout has beside the package is inside it."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout with the tools at hand, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of an environment that has the wheel; other people's libraries come from this environment."""
    folder = tmp_path_factory.mktemp("empty-venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # A line of a .pth file comes after site-packages itself, and .pth files found through it are not read: the
    # editable install of this checkout stays out of sight.
    (site_packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_the_wheel_holds_what_is_needed_and_no_more(wheel):
    """Schemas, packages, type marker and licence are in; tests, docs and benchmarks are not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("schemas", "packages"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert files
        assert {f"opendata_pkg/{path.as_posix()}" for path in files} <= names
    assert "opendata_pkg/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"opendata_pkg"}


def test_schemas_and_packages_are_found_inside(installed, tmp_path):
    """From any folder, the installed package finds its own schemas and packages, and none of a checkout's."""
    code = "from opendata_pkg.documents import shipped; print(shipped('schemas')); print(shipped('packages'))"
    text = subprocess.check_output([installed / "python", "-c", code], cwd=tmp_path, text=True)
    for line in text.splitlines():
        assert Path(line).is_relative_to(installed.parent)
        assert any(Path(line).iterdir())


def test_the_command_runs_from_another_folder(installed, tmp_path):
    """`opendata tree --json` prints the shipped catalogue's tree, from a folder that has nothing to do with it."""
    done = subprocess.run([installed / "opendata", "tree", "--json"], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout)
