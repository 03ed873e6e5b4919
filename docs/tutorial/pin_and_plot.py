"""Pin part of a published bucket, read it with MorphIO and pyABF, plot it, cite it, clone it.

opendata demo --serve                                   # in one terminal: prints the address of a store
python docs/tutorial/pin_and_plot.py STORE [FOLDER]     # in another; needs: pip install '.[readers]'
"""

import sys
from pathlib import Path

import matplotlib as mpl
import morphio
import pyabf

from opendata_pkg import Lock, cite, clone, find, pin, sync, verify

MORPHOLOGIES = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex@2026.1.0"
RECORDINGS = "Experimental_Data/Electrophysiological_recordings/Single-cell_recordings/Others@2026.1.0"


def main(store: str, folder: Path) -> None:
    """All of it, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "opendata.lock"

    # What is there?
    found = find(MORPHOLOGIES, include=["*.swc"], store=store)
    print(f"{len(found)} morphologies, {found.size_bytes:,} bytes")

    # Pin exactly these files, and bring them. The lock is what goes into the paper's repository.
    pin(MORPHOLOGIES, include=["*.swc"], store=store, lock=lock, name="morphologies")
    pin(RECORDINGS, include=["*.abf"], store=store, lock=lock, name="recordings")
    sync(lock)
    print(f"verified: {verify(lock=lock).ok}")

    # A file of the lock is a local path, checked; whoever has only the lock runs the same lines.
    files = Lock(lock)
    cells = [morphio.Morphology(files[path]) for path in files if path.endswith(".swc")]
    recordings = [pyabf.ABF(str(files[path])) for path in files if path.endswith(".abf")]
    print(f"{sum(len(cell.points) for cell in cells):,} points of neurons, {len(recordings)} recordings")
    plot(cells, recordings, folder / "figure.png")

    # For the methods section and the list of references.
    (folder / "data.bib").write_text(cite(lock=lock, form="bibtex"), encoding="utf-8")
    print(cite(lock=lock))

    # The same part as a DataLad dataset, for those who would rather work with git.
    made = clone(MORPHOLOGIES, folder / "clone", include=["*.swc"], contents=True, store=store)
    print(f"cloned {made.branch}@{made.version}, commit {made.datasets[0].commit}")


def plot(cells: list[morphio.Morphology], recordings: list[pyabf.ABF], figure_path: Path) -> None:
    """Every neuron from the side, and the first sweep of the first recording."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of a backend

    figure, (above, below) = plt.subplots(2, figsize=(8, 6), layout="constrained")
    for cell, shift in zip(cells, range(0, 10_000_000, 1000), strict=False):
        for section in cell.iter():
            above.plot(section.points[:, 0] + shift, section.points[:, 1], color="black", linewidth=0.4)
    above.set(title=f"{len(cells)} reconstructed neurons", xlabel="µm", ylabel="µm", aspect="equal")
    recording = recordings[0]
    below.plot(recording.sweepX, recording.sweepY, linewidth=0.6)
    below.set(title=recording.abfID, xlabel=recording.sweepLabelX, ylabel=recording.sweepLabelY)
    figure.savefig(figure_path, dpi=150)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "pin-and-plot"))  # noqa: PLR2004 - an argument
