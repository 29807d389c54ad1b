"""Images by URL: only from allowed hosts, never from private addresses, and within limits."""

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from visiontune_data.ahead import AT_ONCE, FetchAhead
from visiontune_data.foreign import NotFetched, Sources
from visiontune_data.ingest import Options, Outcome, ingest
from visiontune_data.local import LocalSource
from visiontune_dataset.adapters.image_fetch import ImageFetcher, is_allowed, is_public

from tests.support import certificates
from tests.support.archives import jsonl, llava, picture, tar, texts

Handle = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def host(folder: Path, handle: Handle) -> Iterator[tuple[str, ssl.SSLContext]]:
    """An https server on localhost, and what a client needs to trust it."""
    pair = certificates.make(folder).client("localhost", loopback=True)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            handle(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert pair.certificate_file
    context.load_cert_chain(pair.certificate_file, pair.key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_port}", ssl.create_default_context(cafile=str(pair.ca_file))
    finally:
        server.shutdown()
        server.server_close()


def sends(data: bytes, status: int = 200, **headers: str) -> Handle:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    return handle


def drips(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    for _ in range(20):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.1)


def refused(fetch: ImageFetcher, url: str) -> tuple[str, str]:
    with pytest.raises(NotFetched) as found:
        fetch(url)
    return found.value.rule, str(found.value)


def anywhere(_: object) -> bool:
    """Stands in for the internet, which a test has not: loopback counts as public."""
    return True


def test_an_allowed_host_gives_its_images(tmp_path: Path) -> None:
    with host(tmp_path, sends(picture(1))) as (name, tls):
        fetch = ImageFetcher([name], tls=tls, allowed=anywhere)
        url = f"https://{name}/a.jpg"
        archive = tar({"a.jsonl": jsonl(llava(url, "A."), llava([url, url], "B."))})
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        source = LocalSource.of(archive)
        outcome = ingest(source, "d.tar", scratch, Options(processes=0), images=Sources(fetch=fetch))
    assert outcome.version, texts(outcome.report)
    assert (outcome.report.example_count, outcome.version.statistics.image_count) == (2, 1)


def test_several_images_are_fetched_at_once_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 images at a host that takes 50 ms for each; some are not there."""
    running, most = 0, 0
    counted = threading.Lock()

    def slowly(request: BaseHTTPRequestHandler) -> None:
        nonlocal running, most
        with counted:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with counted:
            running -= 1
        number = int(request.path.strip("/"))
        sends(picture(number), 404 if number % 7 == 0 else 200)(request)

    def imported(name: str, tls: ssl.SSLContext, at_once: int) -> tuple[Outcome, float]:
        monkeypatch.setattr("visiontune_data.ingest.FetchAhead", partial(FetchAhead, at_once=at_once))
        scratch = tmp_path / str(at_once)
        scratch.mkdir()
        records = [llava([f"https://{name}/{n}", f"https://{name}/{(n + 1) % 48}"], "A.") for n in range(48)]
        started = time.monotonic()
        outcome = ingest(
            LocalSource.of(tar({"a.jsonl": jsonl(*records)})),
            "d.tar",
            scratch,
            Options(processes=0, skip_errors=True),
            images=Sources(fetch=ImageFetcher([name], tls=tls, allowed=anywhere)),
        )
        return outcome, time.monotonic() - started

    with host(tmp_path, slowly) as (name, tls):
        alone, alone_s = imported(name, tls, 1)
        assert most <= 2  # the one ahead, and the one that is asked for
        most = 0
        several, several_s = imported(name, tls, AT_ONCE)
    assert 4 <= most <= AT_ONCE + 1
    assert several_s < alone_s / 2
    assert several.version
    assert alone.version
    assert several.version.digest == alone.version.digest
    assert several.problems == alone.problems
    assert several.report.skipped_count == alone.report.skipped_count == 14


def test_an_address_that_is_not_public_is_never_connected_to(tmp_path: Path) -> None:
    with host(tmp_path, sends(picture(1))) as (name, tls):
        rule, said = refused(ImageFetcher([name], tls=tls), f"https://{name}/a.jpg")
    assert rule == "image-url-private"
    assert "which is not public" in said


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/", "https://0x7f.1/"]
)
def test_addresses_written_as_such_are_judged_alike(url: str) -> None:
    allowed = ["127.0.0.1", "::1", "169.254.169.254", "0x7f.1"]
    assert refused(ImageFetcher(allowed), url)[0] == "image-url-private"


@pytest.mark.parametrize(
    ("handle", "said"),
    [
        (sends(b"", 404), "answers HTTP 404"),
        (sends(b"", 302, Location="https://elsewhere/"), "answers HTTP 302"),
        (sends(b"x" * 2_000), "has more than 1,000 bytes"),
        (drips, "takes longer than 0.5 s"),
        (lambda request: time.sleep(1), "cannot be fetched ("),
    ],
)
def test_what_a_host_does_instead_of_giving_an_image(handle: Handle, said: str, tmp_path: Path) -> None:
    with host(tmp_path, handle) as (name, tls):
        fetch = ImageFetcher([name], 1_000, tls, anywhere, timeout_s=0.5)
        rule, message = refused(fetch, f"https://{name}/a.jpg")
    assert rule == "image-url-failed"
    assert said in message


def test_a_host_that_nobody_knows_or_trusts(tmp_path: Path) -> None:
    assert "the host is not known" in refused(ImageFetcher(["no.invalid"]), "https://no.invalid/")[1]
    with host(tmp_path, sends(picture(1))) as (name, _):
        rule, said = refused(ImageFetcher([name], allowed=anywhere), f"https://{name}/a.jpg")
    assert rule == "image-url-failed"
    assert "CERTIFICATE_VERIFY_FAILED" in said


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example/x", True),
        ("https://A.example:443/x", True),
        ("https://img.b.example/x", True),
        ("https://b.example/x", False),
        ("https://c.example:8443/x", True),
        ("https://c.example/x", False),
        ("http://a.example/x", False),
        ("https://user@a.example/x", False),
        ("https://a.example.evil/x", False),
        ("https://evil/?a.example", False),
        ("https://a.example:x/", False),
        ("ftp://a.example/", False),
    ],
)
def test_a_host_is_allowed_by_its_name(url: str, allowed: bool) -> None:
    assert is_allowed(url, ["a.example", "*.b.example", "C.example:8443"]) is allowed


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("127.0.0.1", False), ("10.1.2.3", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("192.0.2.1", False), ("224.0.0.1", False), ("::1", False), ("fc00::1", False),
        ("fe80::1", False), ("::ffff:127.0.0.1", False), ("2001:4860:4860::8888", True),
    ],
)  # fmt: skip
def test_an_address_is_public_when_everybody_has_it(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public
