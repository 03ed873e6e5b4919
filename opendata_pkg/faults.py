"""What a check found: one fault of one file, in words that say what to change. Pure."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_SHOWN_MAX = 120
_LIKENESS = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `message` says what was expected and what was got; the other fields where, and what to do about it.

    `path` is the JSON path in a document, `line` the line of the file (from 1), `column` the column of a table;
    `suggestion` what was probably meant; `remedy` the next step, where the fault itself does not show it.
    """

    file: str
    message: str
    path: str | None = None
    line: int | None = None
    column: str | None = None
    suggestion: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        """The fault as one line: `FILE, line 3, at $.title: expected …; did you mean …? …`."""
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {self.column}"
        path = "" if self.path is None else f", at {self.path}"
        meant = "" if self.suggestion is None else f"; did you mean {self.suggestion}?"
        remedy = "" if self.remedy is None else f" {self.remedy}" if meant else f"; {self.remedy}"
        return f"{self.file}{line}{column}{path}: {self.message}{meant}{remedy}"

    def to_dict(self) -> dict[str, Any]:
        """The fault as JSON values; what is not known of it is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def suggest(word: object, known: Iterable[object]) -> str | None:
    """The one of the known words that was probably meant by `word`; None if none is like it."""
    words = [text for text in known if isinstance(text, str)]
    if not isinstance(word, str):
        return None
    folded = {text.casefold(): text for text in reversed(words)}
    found = difflib.get_close_matches(word.casefold(), folded, 1, _LIKENESS)
    return folded[found[0]] if found and folded[found[0]] != word else None


def json_path(parts: Iterable[str | int]) -> str:
    """Keys and list positions as a JSON path: `$.resources[3]["od:kind"]`."""
    path = "$"
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if _NAME.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]"
    return path


def shown(value: object) -> str:
    """A value as a message shows it: as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def listed(words: Iterable[object], limit: int = 12) -> str:
    """Words as a message lists them: the first few and how many more there are."""
    known = [str(word) for word in words]
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more
