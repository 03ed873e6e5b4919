"""The sample files: pinned wheels, fetched by hash, laid out as a bucket in two states."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import PurePosixPath

import pytest

from opendata_pkg.catalogue.catalogue import shipped_catalogue
from opendata_pkg.demo import samples as samples_module
from opendata_pkg.demo.samples import (
    IGNORED_PREFIX,
    WHEELS,
    MissingSampleError,
    NoPipError,
    PipFailedError,
    Wheel,
    fetch_wheels,
    load_samples,
    read_members,
)

FORMATS = "myokit/tests/data/formats"
SCRIPTS = "bmtk/utils/scripts"
MEMBERS = {
    "bmtk": [
        *(
            f"{SCRIPTS}/bionet/morphologies/{name}_m.swc"
            for name in ("Nr5a1_471087815", "Rorb_325404214", "Scnn1a_473845048")
        ),
        *(f"{SCRIPTS}/bionet/mechanisms/modfiles/{name}.mod" for name in ("NaTa", "Kd", "vecevent")),
        *(f"{SCRIPTS}/bionet/biophysical_neuron_models/{name}_fit.json" for name in ("472363762", "472912177")),
        f"{SCRIPTS}/bionet/synaptic_models/AMPA_ExcToExc.json",
        f"{SCRIPTS}/pointnet/synaptic_models/ExcToExc.json",
        "bmtk/simulator/filternet/lgnmodel/cell_metrics/tON_cell_data.csv",
        f"{SCRIPTS}/bionet/templates/Biophys1.hoc",
        f"{SCRIPTS}/sonata.simulation_config.json",
        f"{SCRIPTS}/sonata.circuit_config.json",
    ],
    "myokit": [f"{FORMATS}/abf-v1.abf", f"{FORMATS}/abf-v2.abf", f"{FORMATS}/wcp-file.wcp"],
    "voxcell": [
        *(f"tests/data/{name}" for name in ("scalar.nrrd", "vector.nrrd", "space_directions.nrrd", "hierarchy.json")),
        *(
            "tests/data/sonata/nodes_eulers.h5",
            "tests/data/mvd2_mvd3/circuit.mvd2",
            "tests/data/mvd2_mvd3/circuit.mvd3",
        ),
        *("tests/data/metadata.json", "tests/data/region_map.json", "doc/source/assets/combined_dist.png"),
    ],
}


def tops(catalogue):
    """The prefixes of the branches right below the root."""
    return tuple(branch.prefix for branch in catalogue.branches.values() if branch.parent == "")


def write_wheel(path, members):
    """A wheel of the given files: a zip, with the metadata that pip reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A tiny wheel in a folder that pip is told to look in, and nowhere else."""
    info = "tiny_sample-1.0.dist-info"
    members = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-sample\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
        "tiny_sample/cell.swc": "1 1 0 0 0 1 -1\n",
    }
    path = write_wheel(tmp_path / "index" / "tiny_sample-1.0-py3-none-any.whl", members)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return Wheel(
        project="tiny-sample",
        version="1.0",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence="CC0-1.0",
        licence_file="none",
        about="a test",
    )


@pytest.fixture
def fake_wheels(tmp_path):
    """Three wheels with the names that the samples are made of, each file holding its own name and `gbar`."""
    paths = {}
    for wheel in WHEELS:
        names = [*MEMBERS[wheel.project], wheel.licence_file]
        bodies = {name: f"{name} gbar = 0.00001" for name in names}
        paths[wheel.project] = write_wheel(tmp_path / f"{wheel.project}.whl", bodies)
    return paths


def test_pins_are_exact():
    """Each wheel is pinned to one version and one SHA-256, and its licence text belongs to that version."""
    for wheel in WHEELS:
        assert re.fullmatch(r"[a-z]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", wheel.requirement)
        assert wheel.licence_file.startswith(f"{wheel.project}-{wheel.version}.dist-info/")


def test_wheel_is_fetched_once(tiny, tmp_path, monkeypatch):
    """Pip fetches a wheel by its hash; the second time the kept file is used and pip is not asked."""
    kept = tmp_path / "kept"
    first = fetch_wheels(kept, [tiny])
    assert read_members(first["tiny-sample"])["tiny_sample/cell.swc"] == b"1 1 0 0 0 1 -1\n"
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch_wheels(kept, [tiny]) == first


def test_damaged_wheel_is_fetched_again(tiny, tmp_path):
    """A kept file whose bytes are not the pinned ones is replaced."""
    path = fetch_wheels(tmp_path / "kept", [tiny])["tiny-sample"]
    path.write_bytes(path.read_bytes()[:-1])
    fetch_wheels(tmp_path / "kept", [tiny])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == tiny.sha256


def test_other_bytes_are_refused(tiny, tmp_path):
    """A wheel of the right name with other bytes is refused, with what pip said and status 5; nothing is kept."""
    index = tmp_path / "index" / "tiny_sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(index, "a") as archive:
        archive.writestr("tiny_sample/extra.py", "")
    with pytest.raises(PipFailedError, match="DO NOT MATCH THE HASHES") as caught:
        fetch_wheels(tmp_path / "kept", [tiny])
    assert caught.value.exit_status == 5
    assert not (tmp_path / "kept").exists()


def test_python_without_pip_says_so(tiny, tmp_path, monkeypatch):
    """A Python without pip gets the command that installs it."""
    monkeypatch.setattr(samples_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NoPipError, match="-m ensurepip"):
        fetch_wheels(tmp_path / "kept", [tiny])


def test_states_differ_by_the_edits(fake_wheels):
    """The second state is the first with the edits applied, and every edit is a real one."""
    samples = load_samples(fake_wheels)
    first, edits, second = samples.first, samples.edits, samples.second
    assert set(edits.overwritten) | set(edits.deleted) <= set(first)
    assert not set(edits.added) & set(first)
    assert set(second) == (set(first) | set(edits.added)) - set(edits.deleted)
    assert {key for key in first if key in second and first[key] != second[key]} == set(edits.overwritten)
    # One overwrite keeps the size, and one addition is a move.
    assert [len(first[key]) - len(body) for key, body in edits.overwritten.items()].count(0) == 1
    assert {first[key] for key in edits.deleted} & set(edits.added.values())


def test_keys_are_what_they_should_be(fake_wheels):
    """The bucket has odd names, an ignored object, a clash, objects that no branch holds, and each wheel's licence."""
    keys = set(load_samples(fake_wheels).first)
    assert any(" " in key for key in keys)
    assert {key.replace("+", "-") for key in keys if "+" in key} < keys
    assert any("=" in key for key in keys)
    assert [key for key in keys if key.startswith(IGNORED_PREFIX)]
    assert {str(parent) for key in keys for parent in PurePosixPath(key).parents} & keys
    assert len([key for key in keys if key.startswith("licences/")]) == len(WHEELS)
    assert not any("vecevent" in key for key in keys)


def test_keys_have_their_branches(fake_wheels):
    """Every key is below a branch of the shipped catalogue, but for the licences, and the ignored is ignored there."""
    catalogue = shipped_catalogue()
    assert IGNORED_PREFIX in [ignored.prefix for ignored in catalogue.ignore]
    samples = load_samples(fake_wheels)
    outside = {key for key in {**samples.first, **samples.second} if not key.startswith(tops(catalogue))}
    assert {key.split("/")[0] for key in outside} == {"licences", IGNORED_PREFIX.rstrip("/")}
    for leaf in (
        "Neurons/Mouse/Cortex",
        "Ion_channels/Nav",
        "Ion_Channel_models/Others",
        "Brain_atlas/Direction_vector",
    ):
        assert any(branch.endswith(leaf) for branch in catalogue.branches)
        assert any(f"{leaf}/" in key for key in samples.first)


@pytest.mark.parametrize("missing", [f"{FORMATS}/abf-v1.abf", "tests/data/metadata.json"])
def test_missing_member_is_named(fake_wheels, missing):
    """A wheel without a file that the samples need is an error naming it."""
    for path in fake_wheels.values():
        members = read_members(path)
        members.pop(missing, None)
        write_wheel(path, members)
    with pytest.raises(MissingSampleError, match=re.escape(missing)):
        load_samples(fake_wheels)
