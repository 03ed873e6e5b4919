"""What was probably meant by words that a command has no place for, and what it expected of those that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What pydantic, by which newer versions of typer read values, says of a value, and what a person is told instead.
_FAULTS = (
    (re.compile(r"Value error, (.*)", re.DOTALL), r"\1"),
    (re.compile(r"Input should be a valid integer\b.*"), "expected a whole number"),
    (re.compile(r"Input should be a valid number\b.*"), "expected a number"),
    (re.compile(r"Input should be a valid boolean\b.*"), "expected true or false"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"expected \1 or more"),
    (re.compile(r"Input should be (.*)", re.DOTALL), r"expected \1"),
)


def without_jargon(message: str, value: object) -> str:
    """What was expected of a value, without the words of the library that has read it; `value` is what was given."""
    for fault, said in _FAULTS:
        if match := fault.fullmatch(message):
            told = match.expand(said)
            return f"{told}, got {value!r}" if told.startswith("expected ") and " got " not in told else told
    return message


def hint_for_extra_words(given: Sequence[str], last: str | None, extra: Sequence[str]) -> str:
    """What a shell took apart that was one name, or put in place of a glob; empty if nothing shows it.

    `given` are the texts that had a place, `last` is the one before the `extra` ones if that is an argument.
    """
    files = [word for word in given if Path(word).is_file()], [word for word in extra if Path(word).is_file()]
    if all(files):
        endings = {Path(word).suffix for word in (*files[0], *files[1])}
        glob = f"*{endings.pop()}" if len(endings) == 1 else "*"
        return f"a shell puts the files of this folder in place of a glob, so quote it: '{glob}'"
    if last is None:
        return ""
    return f"a name with spaces goes in quotes: {shlex.quote(' '.join([last, *extra]))}"
