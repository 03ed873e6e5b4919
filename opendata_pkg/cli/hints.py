"""What was probably meant by words that a command has no place for."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
