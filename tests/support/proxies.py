"""Proxies for tests: an environment as behind a company's, and one on the wire that cuts connections."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

_CHUNK_BYTES = 64 * 1024


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names a proxy that nobody runs: whatever asks it fails."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for variable in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(variable, raising=False)


@dataclass
class Wire:
    """A port that leads to a server on this machine, byte for byte, until it is cut."""

    port: int
    target_port: int = 0  # where it leads; may be set before the first connection
    passed_bytes: int = 0  # from clients to the server, over all connections
    _cut_at: int | None = None
    _cuts_left: int | None = None  # None: it stays cut
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut_after(self, size_bytes: int, times: int | None = None) -> None:
        """Ends a connection that many bytes from now, and each after it; or only so many `times`."""
        with self._lock:
            self._cut_at, self._cuts_left = self.passed_bytes + size_bytes, times

    def mend(self) -> None:
        with self._lock:
            self._cut_at = None

    def take(self, size_bytes: int) -> int:
        """How many of these bytes still pass; fewer means that the connection ends."""
        with self._lock:
            passing = (
                size_bytes if self._cut_at is None else min(size_bytes, self._cut_at - self.passed_bytes)
            )
            self.passed_bytes += passing
            if passing < size_bytes and self._cuts_left is not None:
                self._cuts_left -= 1
                if self._cuts_left == 0:
                    self._cut_at = None
            return passing


@contextmanager
def wire(target_port: int = 0) -> Iterator[Wire]:
    """Listens on a free port inside the block."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        made = Wire(listener.getsockname()[1], target_port)
        threading.Thread(target=_accept, args=(listener, made), daemon=True).start()
        yield made


@contextmanager
def below(path: str, target: str) -> Iterator[str]:
    """An HTTP server of which `path` leads to the server `target` (host:port); yields its host:port.

    As a gateway before an object store: the store sees its own paths, and is told of the rest.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(target)
            with closing(connection):
                connection.putrequest(
                    self.command, self.path.removeprefix(path), skip_host=True, skip_accept_encoding=True
                )
                for name, value in (*self.headers.items(), ("X-Forwarded-Prefix", path)):
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "date",
                    "server",
                }:
                    self.send_header(name, value)
            self.send_header(
                "Content-Length",
                answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content)),
            )
            self.end_headers()
            self.wfile.write(content)

        # As the base class calls them.
        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_OPTIONS = _pass  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def _accept(listener: socket.socket, through: Wire) -> None:
    with suppress(OSError):  # it was closed
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_carry, args=(client, through), daemon=True).start()


def _carry(client: socket.socket, through: Wire) -> None:
    with client, suppress(OSError), socket.create_connection(("127.0.0.1", through.target_port)) as server:
        threading.Thread(target=_pump_back, args=(server, client), daemon=True).start()
        while data := client.recv(_CHUNK_BYTES):
            passing = through.take(len(data))
            server.sendall(data[:passing])
            if passing < len(data):
                break
        _end(client)
        _end(server)


def _pump_back(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while data := server.recv(_CHUNK_BYTES):
            client.sendall(data)
    _end(client)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
