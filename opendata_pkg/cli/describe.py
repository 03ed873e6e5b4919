"""`opendata describe`: the descriptors and READMEs of a catalogue's branches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.cli.options import CatalogueOption, JsonOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.documents import dump_json, shipped
from opendata_pkg.model import UsageError
from opendata_pkg.text import counted


def describe(
    branch: Annotated[
        str, typer.Argument(metavar="BRANCH", help="This branch; with an option, those below it too.")
    ] = ROOT,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Write the files of BRANCH and below, in folders beside the catalogue.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Say which of these files are out of date; status 1 if any is.")
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option("--init", metavar="SNAPSHOT", help="Print a catalogue to begin with, for the bucket of SNAPSHOT."),
    ] = None,
    catalogue: CatalogueOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print a branch's descriptor, or write the descriptors and READMEs of all branches from the catalogue.

    With --init, for a bucket that has no catalogue yet: its folders as branches, for a person to describe.
    """
    from opendata_pkg.validation.describe import (
        EVIDENCE_FILE,
        compare,
        mend,
        package_document,
        package_files,
        read_evidence,
    )

    out = Output(json=json, quiet=quiet)
    if write and check:
        raise UsageError("expected --write or --check, got both: --write leaves nothing to check")
    if init is not None:
        if write or check or branch != ROOT:
            raise UsageError("expected --init alone: it begins a new catalogue, and describes no branch")
        from opendata_pkg.columns.lean_arrow import import_arrow

        import_arrow()
        from opendata_pkg.drift.starter import start_catalogue
        from opendata_pkg.snapshot.snapshot import Snapshot

        text = start_catalogue(Snapshot.read(init))
        out.result({"catalogue": text}, text)
        return
    from opendata_pkg.catalogue.catalogue import Catalogue

    file = shipped("packages") / "catalogue.yaml" if catalogue is None else catalogue
    described = Catalogue.load(file)
    start = described.resolve(branch)
    known = read_evidence(file.parent / EVIDENCE_FILE)
    if not (write or check):
        document = package_document(described, known, start)
        out.result(document, dump_json(document))
        return
    files = package_files(described, known, start.path)
    found = compare(file.parent, files, start.path)
    if write:
        mend(file.parent, files, found)
    counts = (
        f"{counted(len(files), 'file')}, {{}} {len(found.missing)}, {{}} {len(found.changed)}, {{}} {len(found.stale)}"
    )
    lines = [counts.format(*(("added", "changed", "removed") if write else ("missing", "out of date", "stale")))]
    for state in ("missing", "changed", "stale") if check else ():
        lines += [f"{state}: {path}" for path in getattr(found, state)]
    if check and found:
        lines.append("write them again: opendata describe --write")
    states = {"missing": list(found.missing), "changed": list(found.changed), "stale": list(found.stale)}
    out.result({"folder": str(file.parent), "files": len(files), "written": write, **states}, "\n".join(lines))
    if check and found:
        raise typer.Exit(1)
