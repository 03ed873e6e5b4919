"""`opendata`: all commands in one place, and the console script."""

from __future__ import annotations

import io
import os
import re
import sys
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from opendata_pkg import __version__
from opendata_pkg.cli.errors import errors_as_sentences
from opendata_pkg.cli.examples import EXAMPLES
from opendata_pkg.files import at_home
from opendata_pkg.model import UsageError
from opendata_pkg.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

# `--allow-undigested[=GLOB]`: bare, it means every key.
_BARE = {"--allow-undigested": "**"}

# What options and arguments that name a place have in their metavar.
_PLACE = re.compile(r"\b(DIR|FILE|PATH|SNAPSHOT|SOURCE|STORE|URL)\b")

SECTIONS = {
    "Look around": ("tree", "info", "versions", "find", "diff"),
    "Get files": ("fetch", "registry", "cache"),
    "Clone": ("clone", "get"),
    "Pin and cite": ("pin", "unpin", "sync", "verify", "cite"),
    "Publish a bucket": ("scan", "hash", "describe", "validate", "drift", "build", "release"),
    "See it all": ("demo",),
}
"""All commands, by who uses them, in the order of their use. Each is the function of that name in `cli/<name>.py`."""


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def function_of(name: str) -> Callable[..., None]:
    """The function that is the command of that name."""
    function: Callable[..., None] = getattr(import_module(f"opendata_pkg.cli.{name}"), name)
    return function


class _Command(TyperCommand):
    """One command. In places, `~/` is the home folder, and an empty text is none: it would be the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty places, as a script's `--store "$STORE"` gives them that never set it, before they are paths."""
        given, extra, _ = self.make_parser(ctx).parse_args(args=list(args))
        if extra:
            from opendata_pkg.cli.hints import hint_for_extra_words

            values = {param: given.get(param.name) for param in self.params}
            texts = [one for value in values.values() for one in (value if isinstance(value, list) else [value])]
            named = [value for param, value in values.items() if param.param_type_name == "argument"]
            last = next((value for value in reversed(named) if isinstance(value, str)), None)
            hint = hint_for_extra_words([text for text in texts if isinstance(text, str)], last, extra)
            words = visible(" ".join(extra))
            ctx.fail(f"Got unexpected extra argument ({words}){': ' if hint else ''}{hint}")
        for param in self.params:
            value = given.get(param.name)
            if _PLACE.search(param.metavar or "") and "" in (value if isinstance(value, (list, tuple)) else (value,)):
                name = param.opts[0] if param.opts[0].startswith("-") else param.metavar
                raise UsageError(
                    f"expected {name} to name a place, got an empty text: for the current folder write a dot"
                )
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param is not None:
                from opendata_pkg.cli.hints import without_jargon

                variable = error.param.envvar
                value = given.get(error.param.name, os.environ.get(variable) if isinstance(variable, str) else None)
                error.message = without_jargon(error.message, value)
            raise
        for param in self.params:
            # After `=` and in variables of the environment, no shell has put the home folder for `~/`.
            if _PLACE.search(param.metavar or ""):
                ctx.params[param.name] = _at_home(ctx.params[param.name])
        return rest

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is click's
        """Show the examples, a line each, to be copied as they are."""
        examples = EXAMPLES.get(self.name or "", ())
        if examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"{'':{formatter.current_indent}}{example}\n" for example in examples))


def _at_home(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_at_home(one) for one in value]
    if isinstance(value, Path):
        return Path(at_home(value))
    return at_home(value) if isinstance(value, str) else value


class _Commands(TyperGroup):
    """The commands, all of them under one table of errors; a run imports only the one that it is of."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names: ours, in the order of their use, and what else was registered."""
        ours = [*chain.from_iterable(SECTIONS.values())]
        return [*ours, *(name for name in super().list_commands(ctx) if name not in ours)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, made when it is first asked for."""
        names = self.list_commands(ctx)
        # A name that is none: typer looks through all that were made for the one that may be meant.
        for name in [cmd_name] if cmd_name in names else names:
            if name not in self.commands:
                self.add_command(_made(name), name)
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give the options that may stand without a value theirs: typer has no such options."""
        # Here `--help` and `--version` print, which can fail as any output can.
        with errors_as_sentences():
            return super().parse_args(ctx, [f"{word}={_BARE[word]}" if word in _BARE else word for word in args])

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is click's
        """List the commands by who uses them, in the order of their use, each with its whole first sentence."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _first_sentence(function_of(name).__doc__ or "")) for name in names])

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the words name; what goes wrong becomes a sentence and a documented exit status."""
        # Which one it is, the group learns while it runs.
        with errors_as_sentences(lambda: ctx.invoked_subcommand):
            return super().invoke(ctx)


def _typer(**options: Any) -> typer.Typer:
    return typer.Typer(
        # Plain help: drawing it with rich takes longer than all else that `--help` does.
        rich_markup_mode=None,
        # A defect shows Python's own traceback: short to report, the same in every terminal.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def _made(name: str) -> Any:
    """A command as typer makes it of its function."""
    single = _typer(add_completion=False)
    single.command(name, cls=_Command)(function_of(name))
    return typer.main.get_command(single)


app = _typer(cls=_Commands, no_args_is_help=True)


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


def _fill_closed_streams() -> None:
    """Give each standard stream that was closed (`>&-`, some daemons) a place where what is written is lost.

    Without it Python has no `sys.stdout`, and the next file that is opened takes the stream's number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # It gets the lowest number that is free, which is this one: those before it are filled.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r", encoding="utf-8"))


def main() -> None:
    """The console script."""
    _fill_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What scripts read is UTF-8 whatever the locale: JSON must be, and keys are.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    app(prog_name="opendata")
