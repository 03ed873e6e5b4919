"""GET over a connection that is open: the request in one piece, the answer's head, and its body as it arrives.

HTTP/1.1 as RFC 9112 has it, for this one method. `http.client` does the same and more in twice the time, which is what
much of the time goes to where files are small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from opendata_pkg.model import SourceError

MAX_HEAD_BYTES = 1 << 16
_MAX_INTERIM_ANSWERS = 100
_MAX_SIZE_DIGITS = 15

# "status-line = HTTP-version SP status-code SP [ reason-phrase ]" (section 4); many leave out the last blank.
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^\r\n\0]*))?")
# "field-line = field-name ":" OWS field-value OWS" (section 5): no blank before the colon, and no line that goes on in
# the next ("obs-fold"), in which two readers may see different things.
_FIELD = re.compile(r"(?m)^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)\r?\n")
# "A recipient MAY recognize a single LF as a line terminator and ignore any preceding CR" (section 2.2).
_HEAD_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\n")
_EMPTY_LINES = frozenset({b"\r\n", b"\n"})
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r?\n")
_LENGTHS = re.compile(r"([0-9]+)(?:[ \t]*,[ \t]*\1)*")
_NO_BODY = frozenset({204, 304})
_SWITCHING = 101
_FIRST_FINAL = 200


class AnswerError(SourceError):
    """An answer that is not HTTP as it should be, or that ended too early."""


class Stream(Protocol):
    """What is needed of a socket."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Wait for bytes; 0 when there will be no more."""


class Headers(Mapping[str, str]):
    """Header fields by name, in any case. Lines of one name are one value, with commas between (RFC 9110, 5.3)."""

    __slots__ = ("_values",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._values = {name.lower(): value.rstrip(" \t") for name, value in fields}
        if len(self._values) != len(fields):
            joined: dict[str, list[str]] = {}
            for name, value in fields:
                joined.setdefault(name.lower(), []).append(value.rstrip(" \t"))
            self._values = {name: ", ".join(values) for name, values in joined.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def find(self, name: str) -> str | None:
        """`get` for a name in small letters, without what a general mapping does for it."""
        return self._values.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Head(NamedTuple):
    """What an answer says before its body: `length` in bytes, None where only the body's end tells."""

    status: int
    reason: str
    headers: Headers
    length: int | None
    is_chunked: bool
    is_last: bool
    """The server closes the connection afterwards, or nobody can tell where its next answer would begin."""

    @classmethod
    def parse(cls, data: bytes) -> Head:
        """The head of an answer, with the empty line at its end.

        Raises:
            AnswerError: it is none, or says nothing clear about where the body ends.
        """
        text = data.decode("latin-1")
        line, _, rest = text.partition("\n")
        line = line.removesuffix("\r")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise AnswerError(f"expected an answer in HTTP/1.1, got {line[:80]!r}")
        fields = _FIELD.findall(rest)
        # As many lines as fields: the one more is the empty one.
        if len(fields) + 1 != rest.count("\n"):
            raise AnswerError("a header line without a name, or that goes on in the next one")
        headers = Headers(fields)
        status, minor = int(match[2]), match[1]
        length, is_chunked = _framing(status, headers)
        return cls(
            status=status,
            reason=match[3] or "",
            headers=headers,
            length=length,
            is_chunked=is_chunked,
            is_last=_is_last(minor, headers, ends=length is not None or is_chunked),
        )


def _framing(status: int, headers: Headers) -> tuple[int | None, bool]:
    """How many bytes the body has, and whether it comes in chunks, by the rules of section 6.3 in their order."""
    if status < _FIRST_FINAL or status in _NO_BODY:
        return 0, False
    coding = headers.find("transfer-encoding")
    if coding is not None:
        # "Transfer-Encoding overrides the Content-Length."
        if coding.lower() != "chunked":
            raise AnswerError(f"a body in the transfer encoding {coding[:80]!r}, which was not asked for")
        return None, True
    announced = headers.find("content-length")
    if announced is None:
        return None, False
    # "all values in the list are valid, and all values in the list are the same", else "an unrecoverable error".
    match = _LENGTHS.fullmatch(announced)
    if match is None or len(match[1]) > _MAX_SIZE_DIGITS:
        raise AnswerError(f"a body of {announced[:80]!r} bytes")
    return int(match[1]), False


def _is_last(minor: str, headers: Headers, *, ends: bool) -> bool:
    """Whether no other answer can follow (section 9.3). A body with two lengths may be an attack (section 6.1)."""
    is_coded = headers.find("transfer-encoding") is not None
    if not ends or (is_coded and (minor == "0" or headers.find("content-length") is not None)):
        return True
    options = headers.find("connection")
    if options is None or options == "keep-alive":
        return minor == "0" and options is None
    named = {option.strip().lower() for option in options.split(",")}
    return "close" in named or (minor == "0" and "keep-alive" not in named)


class Exchange:
    """The two directions of a connection, for one request and its whole answer at a time.

    What was received and not yet taken is in `_buffer` from `_next` to `_end`.
    """

    __slots__ = ("_buffer", "_end", "_is_at_end", "_is_first", "_left", "_next", "_stream", "head")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(MAX_HEAD_BYTES))
        self._next = self._end = 0
        # Of the body, or of the chunk that is being received; None: to the end of the connection.
        self._left: int | None = 0
        self._is_first = self._is_at_end = True
        self.head: Head

    def ask(self, request: bytes) -> Head:
        """Send a request, and wait for the head of its answer.

        Raises:
            ConnectionResetError: the server has closed the connection, without a byte.
            AnswerError: what comes is no answer, or too long a head.
            OSError: the connection broke.
        """
        self._stream.sendall(request)
        self._next, self._end = 0, self._stream.recv_into(self._buffer)
        if self._end == 0:
            raise ConnectionResetError("the server closed the connection without an answer")
        for _ in range(_MAX_INTERIM_ANSWERS):
            head = Head.parse(self._take_through(_HEAD_END, "the head of its answer"))
            if head.status == _SWITCHING:
                raise AnswerError("another protocol, which was not asked for")
            # "A client MUST be able to parse one or more 1xx responses received prior to a final response."
            if head.status >= _FIRST_FINAL:
                self.head = head
                self._left = 0 if head.is_chunked else head.length
                self._is_first, self._is_at_end = True, self._left == 0 and not head.is_chunked
                return head
        raise AnswerError(f"{_MAX_INTERIM_ANSWERS} answers without an end")

    @property
    def has_more(self) -> bool:
        """Whether something was received that nobody has read yet."""
        return self._next < self._end

    @property
    def is_over(self) -> bool:
        """Whether another request may follow: all of the answer was read, and nothing came that is not of it."""
        return self._is_at_end and not self.head.is_last and not self.has_more

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`, which has room, with what has arrived of the body, waiting for at least one byte.

        0 means the end, or that the connection ended before as many bytes as were announced.

        Raises:
            AnswerError: chunks that are none, or that end too early.
            OSError: the connection broke.
        """
        if self._left == 0 and (self._is_at_end or not self._begin_chunk()):
            return 0
        view = buffer if self._left is None else buffer[: self._left]
        if self._next < self._end:
            count = min(len(view), self._end - self._next)
            view[:count] = self._buffer[self._next : self._next + count]
            self._next += count
        else:
            count = self._stream.recv_into(view)
        if self._left is None:
            self._is_at_end = count == 0
        elif self.head.is_chunked:
            if count == 0:
                raise AnswerError("the server stopped in the middle of a chunk")
            self._left -= count
        else:
            self._left -= count
            self._is_at_end = self._left == 0
        return count

    def _begin_chunk(self) -> bool:
        """Read up to the next chunk's data; False after the last, which has none, and its trailers (section 7.1)."""
        if not self._is_first and (line := self._line()) not in _EMPTY_LINES:
            raise AnswerError(f"expected the end of a chunk, got {line[:80]!r}")
        self._is_first = False
        line = self._line()
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None or len(match[1]) > _MAX_SIZE_DIGITS:
            raise AnswerError(f"expected the size of a chunk, got {line[:80]!r}")
        self._left = int(match[1], 16)
        if self._left:
            return True
        read_bytes = 0
        while (line := self._line()) not in _EMPTY_LINES:
            read_bytes += len(line)
            if read_bytes > MAX_HEAD_BYTES:
                raise AnswerError(f"more than {MAX_HEAD_BYTES} bytes of trailers")
        self._is_at_end = True
        return False

    def _line(self) -> bytes:
        return self._take_through(_LINE_END, "a chunked body")

    def _take_through(self, end: re.Pattern[bytes], where: str) -> bytes:
        """Take the bytes up to and with the first match of `end`, receiving more as long as there is none."""
        seen = self._next
        while (match := end.search(self._buffer, seen, self._end)) is None:
            # It may have come in part: two bytes at most.
            seen = max(self._next, self._end - 2) - self._next
            self._receive(where)
        data = bytes(self._buffer[self._next : match.end()])
        self._next = match.end()
        return data

    def _receive(self, where: str) -> None:
        """Move what is in the buffer to its beginning, and receive more after it."""
        waiting = bytes(self._buffer[self._next : self._end])
        if len(waiting) == len(self._buffer):
            raise AnswerError(f"{len(waiting)} bytes of {where} without an end")
        self._buffer[: len(waiting)] = waiting
        count = self._stream.recv_into(self._buffer[len(waiting) :])
        if count == 0:
            raise AnswerError(f"the server stopped within {where}")
        self._next, self._end = 0, len(waiting) + count
