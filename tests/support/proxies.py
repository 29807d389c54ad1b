"""Proxies for tests: an environment as behind a company's, and one on the wire that cuts connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

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
