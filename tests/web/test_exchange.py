"""One request and its answer: whatever way the bytes arrive, and whatever a server gets wrong."""

import re
from contextlib import suppress
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.web.connection import Address
from opendata_pkg.web.exchange import MAX_HEAD_BYTES, AnswerError, Exchange, Head

BODY = bytes(range(256)) * 3


class Pieces:
    """A connection on which the server's bytes arrive in these pieces."""

    def __init__(self, *pieces):
        self.pieces = [piece for piece in pieces if piece]
        self.sent = b""

    def sendall(self, data):
        """Take what the client says."""
        self.sent += data

    def recv_into(self, buffer):
        """Hand out the next piece, or as much of it as there is room for."""
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        if count < len(piece):
            self.pieces.insert(0, piece[count:])
        return count


def read(exchange, room=100):
    """The whole body, through a buffer with so much room."""
    buffer = memoryview(bytearray(room))
    body = b""
    while count := exchange.readinto(buffer):
        body += buffer[:count]
    return body


def answered(*pieces, room=100):
    """Head, body, and whether another request may follow."""
    exchange = Exchange(Pieces(*pieces))
    head = exchange.ask(b"GET / HTTP/1.1\r\n\r\n")
    return head, read(exchange, room), exchange.is_over


def cut(data, places):
    """Data in the pieces between these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def plain(body):
    """An answer that announces its length."""
    return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "x"\r\n\r\n' % len(body) + body


def in_chunks(*parts, extension=b"", trailers=b""):
    """An answer in chunks."""
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts if part)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
WHOLE = {
    "length": plain(BODY),
    "empty": plain(b""),
    "chunks": in_chunks(BODY[:5], BODY[5:300], BODY[300:]),
    "extensions and trailers": in_chunks(BODY[:5], BODY[5:], extension=b' ; a="b"', trailers=b"Digest: x\r\nA: b\r\n"),
    "interim answers": INTERIM + plain(BODY),
    "bare line feeds": plain(BODY).replace(b"\r\n", b"\n", 4),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_every_way_to_cut_an_answer_in_two(kind):
    """Head and body are the same wherever the bytes happen to be divided, and the connection can be used again."""
    data = WHOLE[kind]
    expected = b"" if kind == "empty" else BODY
    for place in range(len(data) + 1):
        head, body, is_over = answered(data[:place], data[place:])
        assert (head.status, head.reason, body, is_over) == (200, "OK", expected, True)


@given(
    kind=st.sampled_from(sorted(WHOLE)),
    places=st.lists(st.integers(0, 2_000), max_size=40),
    room=st.integers(1, 900),
)
def test_any_cuts(kind, places, room):
    """In any number of pieces, read through any buffer."""
    _, body, is_over = answered(*cut(WHOLE[kind], places), room=room)
    assert (body, is_over) == (b"" if kind == "empty" else BODY, True)


@given(parts=st.lists(st.binary(max_size=50), max_size=10), room=st.integers(1, 60), step=st.integers(1, 7))
def test_any_chunks(parts, room, step):
    """What is sent in chunks of any sizes is read back, byte by byte if need be."""
    data = in_chunks(*parts)
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    assert answered(*pieces, room=room)[1:] == (b"".join(parts), True)


def test_several_answers_on_one_connection():
    """Each request gets its own."""
    stream = Pieces()
    exchange = Exchange(stream)
    for number, data in enumerate([plain(b"one"), in_chunks(b"two"), plain(b""), plain(b"four")]):
        stream.pieces = [data]
        assert exchange.ask(b"%d" % number).status == 200
        assert read(exchange) == [b"one", b"two", b"", b"four"][number]
        assert exchange.is_over
    assert stream.sent == b"0123"


def test_until_the_connection_ends():
    """Without any length the end is the end, and nothing can follow."""
    assert answered(b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:10], BODY[10:])[1:] == (BODY, False)


@pytest.mark.parametrize(
    ("start", "fields", "is_over"),
    [
        ("HTTP/1.1 200 OK", "", True),
        ("HTTP/1.1 200 OK", "Connection: close\r\n", False),
        ("HTTP/1.1 200 OK", "Connection: Foo , CLOSE\r\n", False),
        ("HTTP/1.1 200 OK", "connection: keep-alive\r\n", True),
        ("HTTP/1.0 200 OK", "", False),
        ("HTTP/1.0 200 OK", "Connection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_is_kept(start, fields, is_over):
    """As the version and `Connection` say (RFC 9112, section 9.3)."""
    assert answered(f"{start}\r\n{fields}Content-Length: 3\r\n\r\nabc".encode())[1:] == (b"abc", is_over)


def test_more_than_was_announced():
    """What follows an answer unasked is never taken for the next one."""
    assert answered(plain(b"abc") + b"HTTP/1.1 200 OK\r\n")[1:] == (b"abc", False)


@pytest.mark.parametrize("fields", ["Content-Length: 9\r\n", "content-length: 0\r\n"])
def test_two_ways_to_say_where_the_body_ends(fields):
    """Chunks count, and the connection is not used again: somebody may have meant another end."""
    data = in_chunks(b"abc").replace(b"\r\n\r\n", b"\r\n" + fields.encode() + b"\r\n", 1)
    assert answered(data)[1:] == (b"abc", False)


def test_answers_without_a_body():
    """204 and 304 have none, whatever length they announce."""
    for status in (204, 304):
        head, body, is_over = answered(b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status)
        assert (head.status, body, is_over) == (status, b"", True)


def test_headers_in_any_case():
    """Names in any case, blanks around values left out, lines of one name joined."""
    head = Head.parse(
        b'HTTP/1.1 206 \r\nETag:"a"\r\nX-A: \t 1 \t\r\nx-a: 2\r\nEmpty:\r\nP\xe9: no\r\n\r\n'.replace(b"P\xe9", b"P")
    )
    assert (head.status, head.reason) == (206, "")
    assert dict(head.headers) == {"etag": '"a"', "x-a": "1, 2", "empty": "", "p": "no"}
    assert head.headers["ETAG"] == '"a"'
    assert "X-a" in head.headers
    assert head.headers.get("none") is None


def test_a_length_said_twice():
    """The same number is one number."""
    assert Head.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").length == 5


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("SSH-2.0-OpenSSH", "expected an answer in HTTP/1.1, got 'SSH-2.0-OpenSSH'"),
        ("HTTP/2 200 OK", "expected an answer in HTTP/1.1"),
        ("HTTP/1.1 20 OK", "expected an answer in HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\n folded: 1", "a header line without a name"),
        ("HTTP/1.1 200 OK\r\nA: 1\r\n\tand more", "goes on in the next one"),
        ("HTTP/1.1 200 OK\r\nA : 1", "a header line without a name"),
        ("HTTP/1.1 200 OK\r\n: 1", "a header line without a name"),
        ("HTTP/1.1 200 OK\r\nnothing", "a header line without a name"),
        ("HTTP/1.1 200 OK\r\nA: 1\rB: 2", "a header line without a name"),
        ("HTTP/1.1 200 OK\r\nA: \0", "a header line without a name"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6", "a body of '5, 6' bytes"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5", "a body of '-5' bytes"),
        ("HTTP/1.1 200 OK\r\nContent-Length: ", "a body of '' bytes"),
        ("HTTP/1.1 200 OK\r\nContent-Length: ٣", "a body of '"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999", "a body of '9999999999999999' bytes"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", "the transfer encoding 'gzip, chunked'"),
        ("HTTP/1.1 101 Switching", "another protocol"),
        (f"HTTP/1.1 200 OK\r\nA: {'a' * MAX_HEAD_BYTES}", f"{MAX_HEAD_BYTES} bytes of the head"),
        ("HTTP/1.1 100 Continue\r\n\r\n" * 200, "100 answers without an end"),
    ],
)
def test_what_is_no_answer(head, sentence):
    """Said as such: nothing is guessed."""
    with pytest.raises(AnswerError, match=sentence):
        answered(f"{head}\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"xyz\r\n", "expected the size of a chunk, got b'xyz"),
        (b"\r\n", "expected the size of a chunk"),
        (b"-3\r\nabc\r\n0\r\n\r\n", "expected the size of a chunk"),
        (b"ffffffffffffffff\r\n", "expected the size of a chunk"),
        (b"3\r\nabcd\r\n0\r\n\r\n", "expected the end of a chunk, got b'd"),
        (b"3\r\nab", "stopped in the middle of a chunk"),
        (b"3\r\nabc", "stopped within a chunked body"),
        (b"3\r\nabc\r\n", "stopped within a chunked body"),
        (b"0\r\n", "stopped within a chunked body"),
        (b"0" * (MAX_HEAD_BYTES + 1), f"{MAX_HEAD_BYTES} bytes of a chunked body without an end"),
        (b"0\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES, "of trailers"),
    ],
)
def test_what_are_no_chunks(body, sentence):
    """A body that is cut or garbled is never taken for whole."""
    with pytest.raises(AnswerError, match=sentence):
        answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def test_nothing_comes():
    """A connection that its server closed meanwhile is another thing than a broken answer."""
    with pytest.raises(ConnectionResetError, match="closed the connection without an answer"):
        answered()
    with pytest.raises(AnswerError, match="stopped within the head"):
        answered(b"HTTP/1.1 200")


def test_bytes_before_a_break_are_handed_over():
    """A body that ends too early is read as far as it came; 0 then, and the connection is not used again."""
    assert answered(plain(BODY)[:-7])[1:] == (BODY[:-7], False)


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.tuples(st.sampled_from(sorted(WHOLE.values())), st.integers(0, 2_000), st.binary(max_size=9)).map(
            lambda change: change[0][: change[1]] + change[2] + change[0][change[1] + len(change[2]) :]
        ),
    ),
    places=st.lists(st.integers(0, 2_000), max_size=5),
)
def test_whatever_a_server_sends(data, places):
    """It is an answer or is refused: nothing else is ever raised, and the reading ends."""
    with suppress(AnswerError, ConnectionResetError):
        answered(*cut(data, places))


@given(
    url=st.from_regex(
        re.compile(r"https?://[a-z0-9.-]{1,9}(:[0-9]{1,5})?/?[A-Za-z0-9._~:/%=&?-]{0,20}"), fullmatch=True
    )
)
def test_urls_seen_at_once(url):
    """The quick way to take a URL apart finds what the standard library does."""
    try:
        port = urlsplit(url).port
    except ValueError:
        return
    parts, address = urlsplit(url), Address.parse(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    assert (address.scheme, address.host, address.target) == (parts.scheme, parts.hostname, target)
    assert address.port == (port or {"http": 80, "https": 443}[parts.scheme])
