"""Server streams as Server-Sent Events: the end is always told."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.message import Message
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_gateway.rest import sse
from visiontune_kit.errors import Failure, NotFound, Unavailable


class Script:
    """A stream that answers, waits or fails as written."""

    def __init__(self, *steps: Message | Failure | float) -> None:
        self._steps = list(steps)
        self.cancelled = False

    async def read(self) -> Message | None:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Failure):
                raise step
            if isinstance(step, Message):
                return step
            await asyncio.sleep(step)
        return None

    def cancel(self) -> None:
        self.cancelled = True


def message(cursor: str) -> pb.WatchTrainingJobResponse:
    return pb.WatchTrainingJobResponse(cursor=cursor, event=pb.Event(reason="QUEUED"))


async def events(
    script: Script, stopping: asyncio.Event | None = None, interval_s: float = 60
) -> AsyncIterator[str]:
    first = await sse.begin(script, patience_s=0.01)
    async for text in sse.events(
        script, first, stopping=stopping or asyncio.Event(), comment_interval_s=interval_s
    ):
        yield text


async def test_a_stream_ends_with_done() -> None:
    script = Script(message("a"), message("b"))
    assert [text async for text in events(script)] == [
        "retry: 3000\n\n",
        'id: a\nevent: message\ndata: {"cursor":"a","event":{"reason":"QUEUED"}}\n\n',
        'id: b\nevent: message\ndata: {"cursor":"b","event":{"reason":"QUEUED"}}\n\n',
        "event: done\ndata: {}\n\n",
    ]
    assert script.cancelled


async def test_a_failure_in_mid_stream_is_an_event() -> None:
    *_, last = [text async for text in events(Script(message("a"), Unavailable("gone")))]
    assert last.startswith('event: error\ndata: {"code":14,"message":"gone","details":[')


async def test_a_refusal_is_no_stream_at_all() -> None:
    with pytest.raises(NotFound):
        await sse.begin(Script(NotFound("no job")), patience_s=5)


async def test_a_late_first_answer_does_not_hold_the_headers() -> None:
    texts = [text async for text in events(Script(0.05, NotFound("late")))]
    assert texts[0] == "retry: 3000\n\n"
    assert texts[1].startswith("event: error")


async def test_silence_is_broken_by_comments() -> None:
    texts = [text async for text in events(Script(0.2, message("a")), interval_s=0.05)]
    assert texts.count(": still here\n\n") >= 2
    assert texts[-1].startswith("event: done")


async def test_shutdown_ends_a_silent_stream_with_unavailable() -> None:
    script, stopping = Script(message("a"), 60.0), asyncio.Event()
    stream = events(script, stopping)
    assert [await anext(stream), await anext(stream)][1].startswith("id: a")
    stopping.set()
    rest = [text async for text in stream]
    assert len(rest) == 1
    assert '"code":14' in rest[0]
    assert '"reason":"ShuttingDown"' in rest[0]
    assert script.cancelled


async def test_a_client_that_leaves_ends_the_call() -> None:
    script = Script(message("a"), 60.0)
    stream = sse.events(script, await sse.begin(script, 1), stopping=asyncio.Event(), comment_interval_s=60)
    await anext(stream)
    await stream.aclose()
    assert script.cancelled


async def test_a_client_that_left_before_the_first_byte_ends_the_call_too() -> None:
    script = Script(60.0)
    first = await sse.begin(script, patience_s=0.01)
    answer = sse.EventStream(script, first, stopping=asyncio.Event(), comment_interval_s=60)

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def never_sent(_message: object) -> None:
        await asyncio.sleep(60)

    await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, never_sent)
    assert script.cancelled
    await asyncio.wait([first], timeout=1)
    assert first.cancelled()


def test_an_answer_without_a_cursor_has_no_id() -> None:
    assert sse.of(pb.Event(reason="line\nbreak")) == 'event: message\ndata: {"reason":"line\\nbreak"}\n\n'
