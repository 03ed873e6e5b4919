"""`opendata`: all commands in one place, and the console script."""

from __future__ import annotations

import io
import sys
from itertools import chain
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from opendata_pkg import __version__
from opendata_pkg.cli.build import build
from opendata_pkg.cli.cache import cache
from opendata_pkg.cli.cite import cite
from opendata_pkg.cli.clone import clone
from opendata_pkg.cli.demo import demo
from opendata_pkg.cli.describe import describe
from opendata_pkg.cli.diff import diff
from opendata_pkg.cli.drift import drift
from opendata_pkg.cli.errors import errors_as_sentences
from opendata_pkg.cli.fetch import fetch
from opendata_pkg.cli.find import find
from opendata_pkg.cli.get import get
from opendata_pkg.cli.hash import hash
from opendata_pkg.cli.info import info
from opendata_pkg.cli.pin import pin
from opendata_pkg.cli.registry import registry
from opendata_pkg.cli.release import release
from opendata_pkg.cli.scan import scan
from opendata_pkg.cli.sync import sync
from opendata_pkg.cli.tree import tree
from opendata_pkg.cli.unpin import unpin
from opendata_pkg.cli.validate import validate
from opendata_pkg.cli.verify import verify
from opendata_pkg.cli.versions import versions

# `--allow-undigested[=GLOB]`: bare, it means every key.
_BARE = {"--allow-undigested": "**"}


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


class _Commands(TyperGroup):
    """The commands, all of them under one table of errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give the options that may stand without a value theirs: typer has no such options."""
        return super().parse_args(ctx, [f"{word}={_BARE[word]}" if word in _BARE else word for word in args])

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is click's
        """List the commands by who uses them, in the order of their use, each with its whole first sentence."""
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _first_sentence(self.commands[name].help or "")) for name in names])

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the words name; what goes wrong becomes a sentence and a documented exit status."""
        with errors_as_sentences():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    # Plain help: drawing it with rich takes longer than all else that `--help` does.
    rich_markup_mode=None,
    # A defect shows Python's own traceback: short to report, the same in every terminal.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        typer.echo(f"opendata {__version__}")
        raise typer.Exit


@app.callback()
def _opendata(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Clone and cite exact versions of a public S3 bucket.

    Each state of a bucket becomes DataLad datasets with a commit, a digest per file and a citation.
    The data stay in the bucket.
    """


_COMMANDS = {
    "Look around": (tree, info, versions, find, diff),
    "Get files": (fetch, registry, cache),
    "Clone": (clone, get),
    "Pin and cite": (pin, unpin, sync, verify, cite),
    "Publish a bucket": (scan, hash, describe, validate, drift, build, release),
    "See it all": (demo,),
}
_SECTIONS = {title: [command.__name__ for command in commands] for title, commands in _COMMANDS.items()}
for _command in chain.from_iterable(_COMMANDS.values()):
    app.command()(_command)


def main() -> None:
    """The console script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What scripts read is UTF-8 whatever the locale: JSON must be, and keys are.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    app(prog_name="opendata")
