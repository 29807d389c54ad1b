"""Server streams as Server-Sent Events (WHATWG HTML, section 9.2).

`id:` is the answer's cursor. The last event is `done` or `error`: a stream without it was cut.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from visiontune_kit.errors import Failure
from visiontune_kit.server import ShuttingDown

from visiontune_gateway.rest.answers import json_text, status_content

CURSOR = "cursor"
HEADERS = {"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_RETRY_MS = 3000


class Answers(Protocol):
    """A running call of many answers."""

    async def read(self) -> Message | None:
        """Returns the next answer, or None after the last. Raises Failure."""

    def cancel(self) -> None:
        """Ends the call."""


async def begin(answers: Answers, patience_s: float) -> "asyncio.Task[Message | None]":
    """Waits for the first answer a moment, so that a refusal is an HTTP error and not an event.

    Returns the read that is under way or done. Raises Failure.
    """
    first = asyncio.create_task(answers.read())
    done, _ = await asyncio.wait({first}, timeout=patience_s)
    if done and first.exception():
        first.result()
    return first


class EventStream(StreamingResponse):
    """The answer that carries a stream; when it ends, so does the call behind it.

    A client that leaves before the first byte never starts `events`, which then ends nothing.
    """

    def __init__(
        self,
        answers: Answers,
        first: "asyncio.Task[Message | None]",
        *,
        stopping: asyncio.Event,
        comment_interval_s: float,
    ) -> None:
        texts = events(answers, first, stopping=stopping, comment_interval_s=comment_interval_s)
        super().__init__(texts, media_type="text/event-stream", headers=HEADERS)
        self._answers, self._first = answers, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it, by ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.cancel()
            self._first.cancel()


async def events(
    answers: Answers,
    first: "asyncio.Task[Message | None]",
    *,
    stopping: asyncio.Event,
    comment_interval_s: float,
) -> AsyncGenerator[str, None]:
    """Yields the text of the stream until it ends, fails, or the server stops."""
    stop = asyncio.create_task(stopping.wait())
    reading = first
    try:
        yield f"retry: {_RETRY_MS}\n\n"
        while True:
            await asyncio.wait(
                {reading, stop}, timeout=comment_interval_s, return_when=asyncio.FIRST_COMPLETED
            )
            if reading.done():
                message = reading.result()
                if message is None:
                    yield event("done", "{}")
                    return
                yield of(message)
                reading = asyncio.create_task(answers.read())
            elif stop.done():
                raise ShuttingDown
            else:
                yield ": still here\n\n"
    except Failure as failure:
        yield event("error", json_text(status_content(failure)))
    finally:
        answers.cancel()
        reading.cancel()
        stop.cancel()


def of(message: Message) -> str:
    """Returns one answer as an event."""
    cursor = str(getattr(message, CURSOR, ""))
    return event("message", json_text(json_format.MessageToDict(message)), cursor)


def event(name: str, data: str, identity: str = "") -> str:
    """Returns one event. data: a single line."""
    mark = f"id: {identity}\n" if identity else ""
    return f"{mark}event: {name}\ndata: {data}\n\n"
