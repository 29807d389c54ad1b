"""uvicorn inside our own event loop, with our own signals and our own order of stopping."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator

import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals to the program."""
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, host: str, port: int, *, stopping: asyncio.Event, stop_grace_s: float
) -> AsyncIterator[str]:
    """Serves `app` inside the block; yields `host:port`. A port of 0 takes a free one.

    At the end `stopping` is set first, so that streams end by themselves; then calls get the grace.
    Raises OSError when the address is taken.
    """
    listener = socket.create_server((host, port), family=_family(host), backlog=1024)
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(stop_grace_s)),
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"{host}:{listener.getsockname()[1]}"
    finally:
        stopping.set()
        server.should_exit = True
        await task


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
