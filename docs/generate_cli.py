"""Write docs/reference/cli.md from the commands themselves; with `--check`, say whether it is up to date.

It reads the functions' own signatures, not typer's idea of them, so that the page does not depend on typer's version.
"""

from __future__ import annotations

import difflib
import inspect
import sys
import types
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from opendata_pkg.cli.examples import EXAMPLES
from opendata_pkg.cli.main import SECTIONS, function_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parent / "reference" / "cli.md"

_PREFACE = """\
# Commands

<!-- Written by docs/generate_cli.py from the commands themselves; `make docs` writes it again. -->

Results go to standard output, progress and messages to standard error. Every command takes `--json` for scripts and
`--help`; `opendata --version` prints the version. [Exit statuses](exit-status.md) tell what went wrong.

Environment: `OPENDATA_STORE` and `OPENDATA_CATALOGUE` stand in for `--store` and `--catalogue`; `OPENDATA_CACHE` is
where fetched and computed things are kept, by default `opendata` in the user's cache folder.
"""


def page() -> str:
    """The whole page."""
    functions = [function_of(name) for name in chain.from_iterable(SECTIONS.values())]
    return "\n".join([_PREFACE, *(_section(function) for function in functions)])


def _section(function: Callable[..., Any]) -> str:
    parameters = list(_parameters(function))
    arguments = [
        (name, info, hint, default) for name, info, hint, default in parameters if isinstance(info, ArgumentInfo)
    ]
    options = [(name, info, hint, default) for name, info, hint, default in parameters if isinstance(info, OptionInfo)]
    required = [_option_words(*option[:3]) for option in options if option[3] is inspect.Parameter.empty]
    usage = " ".join(
        ["opendata", function.__name__, *(_argument_words(*a) for a in arguments), *required, "[OPTION]..."]
    )
    lines = [
        f"## opendata {function.__name__}",
        "",
        "```",
        usage,
        "```",
        "",
        inspect.getdoc(function) or "",
        "",
    ]
    lines += ["```sh", *EXAMPLES[function.__name__], "```", ""]
    if arguments:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{_cell(_metavar(*a[:3]))}` | {_cell(a[1].help or '')} |" for a in arguments]
        lines.append("")
    lines += ["| option | meaning |", "|---|---|"]
    lines += [f"| `{_cell(_option_words(*o[:3]))}` | {_cell(_meaning(o[1], o[3]))} |" for o in options]
    return "\n".join([*lines, ""])


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, ArgumentInfo | OptionInfo, Any, Any]]:
    """Name, typer's words, type and default of each parameter."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint, *extras = get_args(hints[name])
        info = next(extra for extra in extras if isinstance(extra, (ArgumentInfo, OptionInfo)))
        yield name, info, hint, parameter.default


def _metavar(name: str, info: ArgumentInfo | OptionInfo, hint: Any) -> str:
    """What stands for the value: the metavar if there is one, else what the type suggests."""
    if info.metavar:
        return info.metavar
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kind = next(kind for kind in kinds if kind is not type(None))
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    if isinstance(info, ArgumentInfo):
        return name.upper()
    return {Path: "PATH", int: "N"}.get(kind, "TEXT")


def _argument_words(name: str, info: ArgumentInfo | OptionInfo, hint: Any, default: Any) -> str:
    metavar = _metavar(name, info, hint)
    return metavar if default is inspect.Parameter.empty else f"[{metavar}]"


def _option_words(name: str, info: ArgumentInfo | OptionInfo, hint: Any) -> str:
    # Within `Annotated[...]`, typer's first positional argument (there called `default`) is a declaration too.
    given = [
        text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str) and text.startswith("-")
    ]
    words = ", ".join(sorted(given or [f"--{name.replace('_', '-')}"], key=len, reverse=True))
    return words if hint is bool else f"{words} {_metavar(name, info, hint)}"


def _meaning(info: OptionInfo, default: Any) -> str:
    text = info.help or ""
    if isinstance(default, Enum):
        default = default.value
    if default not in (None, False, inspect.Parameter.empty, (), ""):
        text += f" Default: `{default}`."
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write the page, or compare it with what is there."""
    new = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    old = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(PAGE), "the commands"))
    if old != new:
        print("docs/reference/cli.md is not what the commands say; write it again: make docs", file=sys.stderr)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main())
