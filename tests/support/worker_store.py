"""A plain HTTP server that keeps what is PUT and serves it: stands where the object store is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Store:
    """Files of a folder over HTTP. `answers` holds statuses that the next requests get instead."""

    folder: Path
    port: int = 0
    answers: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    away: bool = False  # answers everything with 503

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _part(asked: str | None) -> slice:
    """What `bytes=FIRST-LAST` means; None: all of it."""
    if asked is None:
        return slice(None)
    first, last = asked.removeprefix("bytes=").split("-")
    return slice(int(first), int(last) + 1)


@contextmanager
def serving(folder: Path) -> Iterator[Store]:
    """Serves a folder on a free port of loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def refused(self) -> bool:
            store.requests.append(f"{self.command} {self.path}")
            status = 503 if store.away else store.answers.pop(0) if store.answers else 0
            if status:
                self.reply(status)
            return bool(status)

        def reply(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.refused():
                return
            path = store.folder / self.path.partition("?")[0].lstrip("/")
            asked = self.headers.get("Range")
            if path.is_file():
                self.reply(206 if asked else 200, path.read_bytes()[_part(asked)])
            else:
                self.reply(404)

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.refused():
                return
            path = store.folder / self.path.partition("?")[0].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            self.reply(200)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
