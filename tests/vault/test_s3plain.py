"""Lists and ranges of objects come by plain GETs; what is not simply answered, s3fs asks again."""

import itertools
import ssl
import subprocess
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.servers import KEY, SECRET, S3Server, need
from tests.helpers.trees import noise
from vault.errors import NotThere
from vault.store.s3 import S3
from vault.store.s3plain import signed

DATA = noise(100_000)
number = itertools.count()


class Between(BaseHTTPRequestHandler):
    """Stands between packrat and an S3 server, which sees requests as they were."""

    protocol_version = "HTTP/1.1"
    port = 0
    """The server's."""
    trick = ""
    """What is done to a plain GET; the library's own are known by their user agent."""
    plain: ClassVar[list[str]]
    by_library: ClassVar[list[str]]
    go_on: ClassVar[threading.Event]

    def do_GET(self):
        """Answer a read or a list."""
        asked = self.headers.get("Range", "list")
        if "boto" in self.headers.get("User-Agent", ""):
            self.by_library.append(asked)
            self.forward()
        else:
            self.plain.append(asked)
            getattr(self, f"do_{self.trick}", self.forward)()

    def forward(self):
        """Give what the server gives."""
        there = HTTPConnection("127.0.0.1", self.port)
        there.request(self.command, self.path, headers=dict(self.headers))
        answer = there.getresponse()
        body = answer.read()
        self.answer(answer.status, body, dict(answer.headers))

    def answer(self, status, body, headers, length=None):
        """Send an answer."""
        self.send_response(status)
        for name in {"Content-Type", "ETag", "Last-Modified", "Content-Range"} & set(headers):
            self.send_header(name, headers[name])
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_give_chunks(self):
        """Do not say how long the answer is, as AWS does not of lists."""
        there = HTTPConnection("127.0.0.1", self.port)
        there.request(self.command, self.path, headers=dict(self.headers))
        body = there.getresponse().read()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 100):
            part = body[at : at + 100]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def do_redirect(self):
        """Send to another region."""
        self.answer(301, b"<Error><Code>PermanentRedirect</Code></Error>", {})

    def do_refuse(self):
        """Do not like the signature."""
        self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", {})

    def do_give_all(self):
        """Do not know ranges."""
        self.answer(200, DATA, {})

    def do_cut_short(self):
        """Say that the object ends where it does not, or of a list nothing at all."""
        self.answer(206, DATA[5:15], {"Content-Range": f"bytes 5-14/{len(DATA)}"})

    def do_tell_a_story(self):
        """Be some other server."""
        self.answer(200, b"<html><p>Once</p></html>", {})

    def do_break_off(self):
        """Send less than was promised."""
        self.answer(206, DATA[:10], {}, length=100)
        self.close_connection = True

    def do_hang_up(self):
        """Answer nothing."""
        self.close_connection = True

    def do_keep_waiting(self):
        """Answer nothing, for as long as anybody likes."""
        self.go_on.wait(60)
        self.close_connection = True

    def log_message(self, *_):
        """Keep still."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s3 = S3Server(tmp_path_factory.mktemp("s3") / "s3")
    with s3.up():
        yield s3


@pytest.fixture
def between(server):
    """Give a class of requests of its own, and the bucket that they go to."""

    class Own(Between):
        port, plain, by_library, go_on = server.port, [], [], threading.Event()

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{proxy.server_address[1]}"
    path = f"a b/ü+&~'{next(number)}"
    s3 = S3("s3", "bucket", path, KEY, SECRET, url, "us-east-1")
    direct = S3("s3", "bucket", path, KEY, SECRET, f"http://127.0.0.1:{server.port}", "us-east-1")
    direct._do("write", "put_object", Key=direct._object("svc", "it"), Body=DATA)
    yield Own, s3
    Own.go_on.set()
    proxy.shutdown()
    proxy.server_close()


def test_any_range_by_a_plain_get(between):
    """For any range: the bytes that stand there, cut off where the object ends; s3fs reads none."""
    own, s3 = between

    @given(st.integers(0, len(DATA) - 1), st.integers(1, 2 * len(DATA)))
    def check(offset, length):
        assert s3.read("svc", "it", offset, length) == DATA[offset : offset + length]

    check()
    assert own.plain
    assert not own.by_library


def test_any_list_by_plain_gets(between, server):
    """However many objects and folders, whatever their names: as s3fs lists them."""
    own, s3 = between
    folder = server.folder / "bucket" / s3._prefix / "many"
    folder.mkdir()
    for name in ["a b", "a+b", "ü&<>", "%41", "'\"", *(f"n{n}" for n in range(1100))]:
        (folder / name).write_bytes(b"x" * (len(name) % 5))
        if len(name) < 4:
            (folder / f"in {name}").mkdir()
            (folder / f"in {name}" / "file").touch()
    server.restart()
    prefix = f"{s3._prefix}many/"
    listed = s3._list(prefix)
    assert listed == s3._list_by_library(prefix)
    assert (len(listed[0]), len(listed[1])) == (1105, 104)
    assert "in a+b" in listed[1]
    assert own.plain == ["list"] * 2
    assert s3._list(f"{prefix}nothing/") == ([], [])


def test_a_list_in_chunks(between):
    """A list whose length nobody says is simply given, too."""
    own, s3 = between
    own.trick = "give_chunks"
    assert [stored.name for stored in s3.files("svc")] == ["it"]
    assert (own.plain, own.by_library) == (["list"], [])


TRICKS = ["redirect", "refuse", "give_all", "cut_short", "tell_a_story", "break_off", "hang_up"]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_list_that_is_not_simply_given_s3fs_asks_for(between, trick):
    """Nothing that a server says instead passes for a list, least of all for an empty one."""
    own, s3 = between
    own.trick = trick
    assert [stored.name for stored in s3.files("svc")] == ["it"]
    assert own.plain == ["list"]
    assert s3.read("svc", "it", 5, 100) == DATA[5:105]
    assert (own.plain, own.by_library) == (["list"], ["list", "bytes=5-104"])


@pytest.mark.parametrize("trick", TRICKS)
def test_what_is_not_simply_answered_s3fs_asks_again(between, trick):
    """However a plain GET goes wrong: the right bytes come, and it is tried once only."""
    own, s3 = between
    own.trick = trick
    for offset in (5, 50, 500):
        assert s3.read("svc", "it", offset, 100) == DATA[offset : offset + 100]
    assert own.plain == ["bytes=5-104"]
    assert len(own.by_library) == 3


def test_only_who_is_trusted_is_asked(between, tmp_path, monkeypatch):
    """Over TLS by the authorities of AWS_CA_BUNDLE where it is set, as s3fs."""
    own, s3 = between
    openssl = need("openssl", "apt install openssl")
    ours, another = (str(tmp_path / name) for name in ("ours", "another"))
    for name in (ours, another):
        command = f"{openssl} req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=it"
        command += f" -addext subjectAltName=IP:127.0.0.1 -out {name} -keyout {name}.key"
        subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours, f"{ours}.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    for trusted, found in ((ours, DATA[5:105]), (another, None)):
        monkeypatch.setenv("AWS_CA_BUNDLE", trusted)
        tls = S3("s3", "bucket", s3._prefix, KEY, SECRET, url, "us-east-1")
        assert tls.plainly(0, lambda plain: plain.read(s3._object("svc", "it"), 5, 100)) == found
    assert own.plain == ["bytes=5-104"]
    server.shutdown()
    server.server_close()


def test_through_a_proxy_s3fs_goes(between, monkeypatch):
    """It knows which, and whom they are not for."""
    own, s3 = between
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert s3.read("svc", "it", 5, 100) == DATA[5:105]
    assert (own.plain, own.by_library) == ([], ["bytes=5-104"])


@given(st.text(), st.dictionaries(st.text(), st.text()), st.text(min_size=1), st.datetimes())
def test_it_is_signed_as_botocore_signs(key, query, secret, moment):
    """Whatever is asked for, with whichever secret, whenever."""
    path, stamp = "/bucket/" + quote(key), f"{moment:%Y%m%dT%H%M%SZ}"
    asked = urlencode(sorted((quote(k, ""), quote(v, "")) for k, v in query.items()), safe="%")
    headers = {"Host": "it:9000", "Range": "bytes=1-2"}
    ours = signed(path, asked, headers, stamp, "somewhere", "id", secret)
    request = AWSRequest("GET", f"http://it:9000{path}?{asked}", headers=dict(ours))
    request.context["timestamp"] = stamp
    theirs = S3SigV4Auth(Credentials("id", secret), "s3", "somewhere")
    del request.headers["Authorization"]
    signature = theirs.signature(
        theirs.string_to_sign(request, theirs.canonical_request(request)), request
    )
    assert ours["Authorization"].endswith(f"Signature={signature}")
    assert f"Credential={theirs.scope(request)}," in ours["Authorization"]


def test_what_is_not_there_is_said_by_s3fs(between):
    """An absent object is one error; behind the end of one there is nothing."""
    _, s3 = between
    with pytest.raises(NotThere):
        s3.read("svc", "other", 0, 100)
    assert s3.read("svc", "it", len(DATA), 100) == b""


def test_nobody_waits_for_an_answer_once_a_read_is_broken_off(between):
    """A Ctrl-C ends a read that a silent server keeps waiting."""
    own, s3 = between
    own.trick = "keep_waiting"

    def check():
        if own.plain:
            raise InterruptedError

    s3.check = check
    with pytest.raises(InterruptedError):
        s3.read("svc", "it", 0, 100)
    assert not own.by_library
