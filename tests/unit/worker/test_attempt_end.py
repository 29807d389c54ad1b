"""The worker's line to the trainer ends when it is closed, whatever comes at that moment."""

import asyncio
from types import SimpleNamespace

import pytest
from visiontune.worker.v1 import worker_pb2
from visiontune_worker.attempt import Attempt
from visiontune_worker.interrupts import Interrupts


class Stream:
    """A stream of reports at its border: one answer, which comes when it is told to, then silence."""

    def __init__(self) -> None:
        self.answers = asyncio.Queue[worker_pb2.ReportResponse]()

    async def read(self) -> worker_pb2.ReportResponse:
        return await self.answers.get()

    def cancel(self) -> None:
        """Nothing to free."""


@pytest.mark.parametrize("turns", range(5))
async def test_an_answer_that_comes_with_the_end_does_not_keep_the_line_open(turns: int) -> None:
    attempt = Attempt(target="", name="a", token="t", worker_id="w", interrupts=Interrupts())
    stream = Stream()
    attempt._stub = SimpleNamespace(Report=lambda *_, **__: stream)
    reporting = asyncio.create_task(attempt._report_until_closed())
    await asyncio.sleep(0.01)
    stream.answers.put_nowait(worker_pb2.ReportResponse())
    for _ in range(turns):
        await asyncio.sleep(0)
    reporting.cancel()
    done, _ = await asyncio.wait([reporting], timeout=1.0)
    reporting.cancel()
    attempt._loop.close()
    assert done == {reporting}
