"""`opendata demo`: the whole story on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import JsonOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from opendata_pkg.demo.story import Summary


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to leave store and clone; absent, empty or of an earlier demo.")
    ] = Path("demo-store"),
    *,
    serve: Annotated[
        bool, typer.Option("--serve", help="Instead of the story: bucket and store, to try commands on, until Ctrl-C.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the whole story with real files: a bucket on a local S3 server, two releases, a clone, the old bytes again.

    Needs no network but the package index, for the sample files, and that only the first time; no credentials.
    """
    from opendata_pkg.digests.checksums import cache_folder

    out = Output(json=json, quiet=quiet)
    wheels_folder = cache_folder() / "demo-wheels"
    if serve:
        _serve(folder, wheels_folder, out)
        return
    from opendata_pkg.demo.story import tell

    summary = tell(folder, wheels_folder=wheels_folder, reporter=out)
    out.result(summary.to_dict(), None if json else _text(summary))


def _serve(folder: Path, wheels_folder: Path, out: Output) -> None:
    import signal
    from contextlib import suppress
    from dataclasses import asdict

    from opendata_pkg.demo.serving import serve_demo
    from opendata_pkg.demo.stage import terminate_as_interrupt

    with terminate_as_interrupt(), serve_demo(folder, wheels_folder=wheels_folder, reporter=out) as served:
        first, last = served.versions
        out.result(
            asdict(served),
            f"""\
A bucket on a local S3 server, and a store with versions {first} and {last}; both until Ctrl-C. In another terminal:

  export OPENDATA_STORE={served.store}
  opendata tree
  opendata find Experimental_Data --include '*.swc'
  opendata pin Experimental_Data@{first} --include '*.swc'
  opendata find {served.source} --endpoint-url {served.endpoint_url}
""",
        )
        # Ctrl-C is how this ends, and no fault.
        with suppress(KeyboardInterrupt):
            while True:
                signal.pause()


def _text(summary: Summary) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes

    columns = ("release", "datasets", "files", "size", "added", "changed", "removed")
    rows = (
        (
            release.version,
            str(release.datasets),
            str(release.files),
            human_bytes(release.size_bytes),
            *(str(count) for count in (release.added, release.changed, release.removed)),
        )
        for release in summary.releases
    )
    clone, store = shlex.quote(str(summary.clone)), shlex.quote(str(summary.store))
    return f"""
{draw_table(columns, rows, numbers=columns[1:])}
{counted(len(summary.checks), "check")} passed: every byte and count is as it should be.

Left to look at (the S3 server is stopped, so that the URLs in the store answer no more; the clone has all contents):
  {summary.store}: the store, a static folder
  {summary.clone}: the scientist's clone
  {summary.folder / "opendata.lock"}: the author's pins, and their files in data/

Try:
  less {store}/index.json
  git -C {clone} log --stat
  datalad -C {clone} subdatasets -r
  git -C {clone} submodule foreach --recursive 'git log --oneline --decorate'
"""
