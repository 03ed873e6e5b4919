"""YAML as people write it, without its surprises: what stands there is what is meant, and each value knows its line.

A plain scalar is a string, unless it is `true`, `false`, `null` or a whole number: `2024-01-01`, `1.10`, `No` and
`12:30` stay what they are, and a key of a mapping is always a string. Anchors, aliases and tags are refused, a key may
stand once: so no document is larger than its file, and none says two things.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from opendata_pkg.model import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

YamlPath = tuple[str | int, ...]
"""Where a value stands in a document: keys and list positions from the top; `()` is the document itself."""

MAX_DEPTH = 40
"""Mappings and lists inside each other. Whoever needs more is nesting by mistake; Python's stack has an end, too."""

# libyaml where PyYAML was built with it: ten times as fast, the same events.
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
# At most 18 digits: whole numbers that every reader of JSON keeps exact, and no numbers made to burn time.
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


class BrokenYamlError(InputError):
    """A file is no YAML, or uses a part of YAML that is refused. `place` is line and column from 1; None: not known."""

    def __init__(self, where: str, place: tuple[int, int] | None, fault: str) -> None:
        self.where, self.place, self.fault = where, place, fault
        super().__init__(
            f"{where}: {fault}" if place is None else f"{where}, line {place[0]}, column {place[1]}: {fault}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """A document's value (dicts, lists, str, bool, int, None) and the line (from 1) on which each part begins.

    A value in a mapping begins where its key does.
    """

    value: Any
    lines: Mapping[YamlPath, int]


def load_yaml(data: bytes, where: str) -> YamlDocument:
    """Read one document of UTF-8 YAML; `where` names it in errors.

    Raises:
        BrokenYamlError: it is no YAML, or uses anchors, aliases, tags, a key twice, or a second document.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        fault = f"expected UTF-8, got the byte 0x{data[error.start]:02x}: save the file as UTF-8"
        raise BrokenYamlError(where, place, fault) from error
    try:
        return _Builder(where, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        fault = f"expected YAML: {error.problem or error.context}"
        raise BrokenYamlError(where, None if mark is None else _place(mark), fault) from error
    except yaml.YAMLError as error:
        # The reader's own complaint, of a character that YAML does not allow, has a position but no mark.
        raise BrokenYamlError(where, None, f"expected YAML: {error}".replace("\n", " ")) from error


class _Builder:
    """Builds values straight from the parser's events, where anchors and lines are still to be seen.

    Events are `Any`: PyYAML's types do not say which of them have anchors, tags and marks.
    """

    def __init__(self, where: str, events: Iterator[Any]) -> None:
        self.where, self.events = where, events
        self.lines: dict[YamlPath, int] = {}

    def document(self) -> YamlDocument:
        next(self.events)  # the start of the stream
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return YamlDocument(value=None, lines={(): 1})
        event = next(self.events)
        self.lines[()] = _place(event.start_mark)[0]
        value = self.value(event, ())
        next(self.events)  # the end of the document
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.refuse(event, "expected one document, got a second one: take out the `---`")
        return YamlDocument(value=value, lines=self.lines)

    def value(self, event: Any, path: YamlPath) -> Any:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self.refuse(
                event,
                f"anchors and aliases are refused, got {sign}{event.anchor}: write the value out where it belongs",
            )
        if event.tag is not None:
            self.refuse(event, f"tags are refused, got {event.tag}: write the plain value")
        if len(path) > MAX_DEPTH:
            self.refuse(event, f"expected at most {MAX_DEPTH} levels inside each other, got more")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.items(path)

    def mapping(self, path: YamlPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self.refuse(event, "expected a word as key, got a list or a mapping")
            self.value(event, path)
            here = (*path, event.value)
            if event.value in result:
                first = self.lines[here]
                self.refuse(
                    event, f"expected each key once, got {event.value!r} again; it first stands on line {first}"
                )
            self.lines[here] = _place(event.start_mark)[0]
            result[event.value] = self.value(next(self.events), here)
        return result

    def items(self, path: YamlPath) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*path, len(result))
            self.lines[here] = _place(event.start_mark)[0]
            result.append(self.value(event, here))
        return result

    def refuse(self, event: Any, fault: str) -> NoReturn:
        raise BrokenYamlError(self.where, _place(event.start_mark), fault)


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _scalar(event: Any) -> str | bool | int | None:
    text: str = event.value
    # `implicit[0]`: written plainly, so that a type may be read into it; quoted and block scalars are strings.
    if not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text
