"""Asking web servers: what they do wrong, and what is said of it; proxies and certificates."""

import base64
import socket
import subprocess
import sys
import time

import pytest

from opendata_pkg.model import UsageError
from opendata_pkg.web.proxies import CertificateError, Proxy, proxy_for, read_proxies, tls_context
from opendata_pkg.web.transport import BrokenTransferError, OfflineError, RefusedError, Transport
from tests.serving import (
    chunked,
    forward_proxy,
    ignore_range,
    impatient,
    make_certificates,
    reset,
    serve,
    stall,
    status,
    truncate,
    until_closed,
)

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def web():
    """A web server."""
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """The authority's file, and a server's context."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure_web(certificates):
    """A web server behind TLS, of an authority that nobody knows."""
    with serve(certificates[1]) as server:
        yield server


def test_connections_are_kept(web):
    """Twenty files one after the other are one connection."""
    with impatient() as transport:
        for number in range(20):
            assert transport.read(web.put(f"{number}", CONTENT)) == CONTENT
    assert web.connections == 1


def test_data_are_asked_for_as_they_are(web):
    """No server is invited to compress."""
    impatient().read(web.put("a", CONTENT))
    assert web.asked[0][2]["Accept-Encoding"] == "identity"


def test_a_part(web):
    """From a byte on; the answer says which, and how large the whole is."""
    with impatient().open(web.put("a", CONTENT), start=1000) as response:
        assert (response.start, response.total_bytes) == (1000, len(CONTENT))
        assert response.read() == CONTENT[1000:]


def test_a_server_that_ignores_ranges(web):
    """The answer says that it begins at the beginning."""
    with impatient().open(web.put("a", CONTENT, ignore_range), start=1000) as response:
        assert (response.start, response.total_bytes) == (0, len(CONTENT))


@pytest.mark.parametrize("misbehaviour", [status(429), status(500), status(502), status(503), status(504), reset()])
def test_passing_troubles_are_tried_again(web, misbehaviour):
    """A busy or broken server is asked until it answers."""
    assert impatient().read(web.put("a", CONTENT, misbehaviour, misbehaviour)) == CONTENT
    assert len(web.asked) == 3


@pytest.mark.parametrize("misbehaviour", [truncate(100), reset(100), stall(2, 100), chunked(whole=False)])
def test_a_body_that_breaks_off_is_noticed(web, misbehaviour):
    """A small file is asked for again; never is a part taken for the whole."""
    assert impatient().read(web.put("a", CONTENT, misbehaviour)) == CONTENT
    assert len(web.asked) == 2


@pytest.mark.parametrize("how", [chunked(), until_closed])
def test_bodies_of_unknown_length(web, how):
    """Chunks, and HTTP/1.0's way, are read to their end; the connection after them works."""
    with impatient() as transport:
        for _ in range(2):
            with transport.open(web.put("a", CONTENT, how)) as response:
                assert response.total_bytes is None
                assert response.read() == CONTENT


def test_a_server_says_when_to_come_back(web):
    """Retry-After is waited for."""
    url, begun = web.put("a", CONTENT, status(503, Retry_After=1)), time.monotonic()
    assert impatient().read(url) == CONTENT
    assert time.monotonic() - begun >= 1


def test_a_server_that_wants_hours(web):
    """Nobody waits for longer than two minutes: the sentence says how long it would be."""
    url = web.put("a", CONTENT, status(503, Retry_After=7200))
    with pytest.raises(BrokenTransferError, match=r"busy or broken .*503.*asks to wait 7200 s"):
        impatient().open(url)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (401, "access denied .HTTP 401.: it is not public"),
        (403, "access denied .HTTP 403.: it is not public, or it is gone"),
        (304, "told to be unchanged .HTTP 304., which was not asked"),
        (404, "not there .HTTP 404.: it was removed or moved"),
        (410, "gone for good"),
        (416, "fewer bytes than were asked for"),
        (418, "HTTP status 418"),
    ],
)
def test_refusals_in_words(web, number, sentence):
    """What a server refuses is not tried again, and said with its address."""
    url = web.put("a b", CONTENT, *[status(number)] * 2).replace(" ", "%20")
    with pytest.raises(RefusedError, match=f"{url}: .*{sentence}") as caught:
        impatient().open(url)
    assert caught.value.status == number
    assert len(web.asked) == 1


def test_a_server_that_never_gets_well(web):
    """After the last try the sentence says what it was."""
    url = web.put("a", CONTENT, *[status(500)] * 9)
    with pytest.raises(BrokenTransferError, match=r"busy or broken \(HTTP 500"):
        impatient(tries=3).open(url)
    assert len(web.asked) == 3


def test_nobody_listens():
    """A refused connection is said as such."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BrokenTransferError, match="no answer: Connection refused"):
        impatient(tries=2).open(f"http://127.0.0.1:{port}/a")


def test_no_such_host():
    """A mistyped host is not tried again."""
    with pytest.raises((RefusedError, BrokenTransferError), match=r"no such host|no answer"):
        impatient(tries=1).open("http://data.example.invalid/a")


def test_a_connection_closed_meanwhile(web):
    """A server that closes idle connections costs no try."""
    with impatient(tries=1) as transport:
        for _ in range(3):
            with transport.open(web.put("a", CONTENT, until_closed_unsaid)) as response:
                assert response.read() == CONTENT


def until_closed_unsaid(handler, content, etag):
    """A whole answer, after which the connection is closed without a word."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = True


def test_redirects_keep_the_range(web):
    """Followed, relative ones and those with blanks too, with the same part asked for."""
    web.put("the file", CONTENT)
    url = web.put("a", b"", status(302, Location="/b"))
    web.put("b", b"", status(308, Location=f"{web.url}/the file"))
    with impatient().open(url, start=7) as response:
        assert response.read() == CONTENT[7:]
    assert [asked[1] for asked in web.asked] == ["bytes=7-"] * 3


def test_redirects_in_a_circle(web):
    """Ten are enough."""
    url = web.put("a", b"", *[status(301, Location="/a")] * 20)
    with pytest.raises(RefusedError, match="redirected 10 times"):
        impatient().open(url)


@pytest.mark.parametrize("place", ["ftp://example.org/a", "file:///etc/passwd", "http://[::1"])
def test_redirects_to_other_things(web, place):
    """Only the web is followed."""
    url = web.put("a", b"", status(302, Location=place))
    with pytest.raises(RefusedError, match="no web address"):
        impatient().open(url)


def test_redirects_from_https_to_http(web, secure_web, certificates, monkeypatch):
    """Nobody is led from where bytes are safe to where anybody could change them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    url = secure_web.put("a", b"", status(302, Location=web.put("a", CONTENT)))
    with pytest.raises(RefusedError, match=r"redirected from https to http .*not followed"):
        impatient().open(url)
    assert web.asked == []


@pytest.mark.parametrize("url", ["ftp://example.org/a", "/a", "http://", "http://[::1", "s3://bucket/key"])
def test_what_is_no_url(url):
    """Said with an example of one."""
    with pytest.raises(UsageError, match="expected a URL such as"):
        impatient().open(url)


def test_offline_makes_no_socket(web, monkeypatch):
    """Off limits is off limits: the sentence says how to allow it."""
    url = web.put("a", CONTENT)
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(OfflineError, match="leave out --offline"):
        impatient(offline=True).open(url)


def test_strange_characters_in_urls(web):
    """What is not encoded yet gets encoded; what is stays."""
    web.put("é ü%41", CONTENT)
    assert impatient().read(f"{web.url}/é ü%2541") == CONTENT


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own(secure_web, certificates, monkeypatch, variable):
    """Any of the usual variables names the certificates that are trusted."""
    monkeypatch.setenv(variable, str(certificates[0]))
    assert impatient().read(secure_web.put("a", CONTENT)) == CONTENT


def test_a_folder_of_authorities(secure_web, certificates, monkeypatch, tmp_path):
    """SSL_CERT_DIR is a folder as `openssl rehash` leaves it."""
    (tmp_path / "ca.pem").write_bytes(certificates[0].read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert impatient().read(secure_web.put("a", CONTENT)) == CONTENT


def test_an_unknown_authority(secure_web):
    """Refused at once, with the variable that would mend it."""
    with pytest.raises(RefusedError, match=r"not trusted .*SSL_CERT_FILE"):
        impatient().open(secure_web.put("a", CONTENT))


def test_a_missing_file_of_certificates(monkeypatch, tmp_path):
    """The variable is named."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(CertificateError, match="REQUESTS_CA_BUNDLE"):
        impatient().open("https://127.0.0.1:9/a")


LOGIN = f"Basic {base64.b64encode(b'me:p w%').decode()}"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_plain_http_through_a_proxy(web, monkeypatch, variable):
    """Upper or lower case; user and password are sent, percent-decoded."""
    url = web.put("a b", CONTENT).replace(" ", "%20")
    with forward_proxy(LOGIN) as proxy:
        monkeypatch.setenv(variable, f"http://me:p%20w%25@{proxy.address}")
        assert impatient().read(url) == CONTENT
        assert proxy.asked == [f"GET {url}"]
    assert "Proxy-Authorization" not in web.asked[0][2]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_https_through_a_proxy(secure_web, certificates, monkeypatch, variable):
    """A tunnel, inside which the server's own certificate is checked; one for many files."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    url = secure_web.put("a", CONTENT)
    with forward_proxy(LOGIN) as proxy:
        monkeypatch.setenv(variable, f"http://me:p%20w%25@{proxy.address}")
        with impatient() as transport:
            for _ in range(3):
                assert transport.read(url) == CONTENT
        assert proxy.asked == [f"CONNECT {secure_web.url.removeprefix('https://')}"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_login(web, secure_web, certificates, monkeypatch, scheme):
    """Said as such, with where to write it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    url = (web if scheme == "http" else secure_web).put("a", CONTENT)
    with forward_proxy(LOGIN) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://me:wrong-secret@{proxy.address}")
        with pytest.raises(RefusedError, match="the proxy wants a user name and password") as caught:
            impatient().open(url)
    assert "wrong-secret" not in str(caught.value)


def test_a_proxy_that_is_not_there(web, monkeypatch):
    """The proxy is named, its password is not."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    with pytest.raises(BrokenTransferError, match=r"no answer through the proxy 127\.0\.0\.1:9") as caught:
        impatient(tries=1).open(web.put("a", CONTENT))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "127.0.0.0/8", "*", "example.org, 127.0.0.1"])
def test_hosts_without_a_proxy(web, monkeypatch, exempt):
    """NO_PROXY names hosts, networks, or all."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert impatient(tries=1).read(web.put("a", CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("exempt", "host", "goes_through"),
    [
        ("example.org", "data.example.org", False),
        (".example.org", "data.example.org", False),
        ("example.org", "badexample.org", True),
        ("example.org:8080", "example.org", True),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("10.0.0.0/8", "11.1.2.3", True),
    ],
)
def test_which_hosts_are_exempt(monkeypatch, exempt, host, goes_through):
    """As curl and requests read NO_PROXY."""
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    proxy = proxy_for("https", host, 443, read_proxies())
    assert proxy == (Proxy(host="proxy.example.org", port=3128) if goes_through else None)


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1080", "https://127.0.0.1:1080", "http://me:secret@host:port"])
def test_proxies_of_other_kinds(web, monkeypatch, url):
    """Refused in a sentence that shows no password, not passed by silently."""
    monkeypatch.setenv("HTTP_PROXY", url)
    with pytest.raises(UsageError, match="expected an HTTP proxy in HTTP_PROXY") as caught:
        impatient().open(web.put("a", CONTENT))
    assert "secret" not in str(caught.value)


def test_the_import_is_quick():
    """Whoever only fetches waits for no heavy library."""
    code = "import sys, opendata_pkg.cache.cache; print(*sorted({'pooch', 'requests', 'urllib3', 'boto3', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"


def test_waiting_ends_when_the_transport_is_closed():
    """Ctrl-C does not wait for the next try."""
    transport = Transport.create(first_delay_s=60)
    transport.close()
    begun = time.monotonic()
    transport.wait(3)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("host", ["a" * 70 + ".example.org", "a..example.org"])
def test_names_that_no_host_can_have(host):
    """They are told as any other host that is not there."""
    with impatient() as transport, pytest.raises(RefusedError, match=r"no such host"):
        transport.open(f"http://{host}/x")


def test_certificates_in_the_home_folder(home, monkeypatch):
    """`~/` in the variable is the home folder, as a shell would have it."""
    monkeypatch.setenv("SSL_CERT_FILE", "~/none.pem")
    with pytest.raises(CertificateError, match=f"at {home}/none.pem, as SSL_CERT_FILE says"):
        tls_context()
