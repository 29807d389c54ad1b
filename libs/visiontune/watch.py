"""Following things at the server: server-sent events that resume, and operations that end."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx

from visiontune import errors
from visiontune.transcode import HttpCall
from visiontune.transport import Patience, Transport

# The server sends a sign of life every 15 seconds.
SILENCE_S = 45.0


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream (WHATWG HTML, section 9.2)."""

    id: str
    # `message`, `done` or `error`.
    kind: str
    data: str


def follow(transport: Transport, call: HttpCall, cursor: str = "") -> Iterator[ServerEvent]:
    """Messages until the server says `done`. A cut stream is taken up again after the last id seen.

    Raises ApiFailure when the server ends it with an error that repeating does not mend, Unreachable when it
    does not come back.
    """
    while True:
        patience, progressed = Patience(transport), False
        while not progressed:
            try:
                for event in _one_stream(transport, call, cursor):
                    if event.kind == "done":
                        return
                    cursor, progressed = event.id or cursor, True
                    yield event
                failure: errors.Failure = errors.Unreachable("The stream ended without a word.")
            except (errors.Unreachable, errors.Unavailable) as error:
                failure = error
            if not progressed:
                patience.wait(failure)


def _one_stream(transport: Transport, call: HttpCall, cursor: str) -> Iterator[ServerEvent]:
    headers = {"accept": "text/event-stream"}
    if cursor:
        headers["last-event-id"] = cursor
    with transport.stream(call, headers, SILENCE_S) as response:
        for event in parse(response):
            if event.kind == "error":
                raise errors.from_status(json.loads(event.data))
            yield event


def parse(response: httpx.Response) -> Iterator[ServerEvent]:
    """Events of an answer; an event that is not closed by an empty line is dropped, as the standard says."""
    blank = ServerEvent("", "message", "")
    event, last_id, seen = blank, "", False
    for line in response.iter_lines():
        if not line:
            if seen:
                yield replace(event, id=last_id)
            event, seen = blank, False
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            event, seen = replace(event, data=f"{event.data}\n{value}" if seen else value), True
        elif name == "event":
            event = replace(event, kind=value)
        elif name == "id":
            last_id = value


def intervals(first_s: float = 0.1, most_s: float = 1.0) -> Iterator[float]:
    """Sleeps between polls, ever longer; yields the seconds since the first."""
    start, pause = time.monotonic(), first_s
    while True:
        yield time.monotonic() - start
        time.sleep(pause)
        pause = min(pause * 1.5, most_s)
