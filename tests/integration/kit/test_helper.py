"""A helper that hangs is killed, one that too many wait for refuses; the dataset service's tests kill it."""

import asyncio
import sys
from typing import Any

import pytest
from visiontune_kit.helper import Helper, HelperBusy, HelperFailed

HANGS = (sys.executable, "-c", "import time; time.sleep(60)")


async def never(_: Any) -> None:
    await asyncio.sleep(60)


async def test_one_that_takes_too_long_is_killed_and_others_are_refused_meanwhile() -> None:
    helper = Helper(HANGS, {}, socket_variable="SOCKET", timeout_s=1.0, most_waiting=1)
    asked = asyncio.ensure_future(helper.ask(never))
    await asyncio.sleep(0)
    with pytest.raises(HelperBusy, match="1 calls wait"):
        await helper.ask(never)
    with pytest.raises(HelperFailed, match="took longer than 1 s"):
        await asked
    assert helper._child is not None
    assert await asyncio.wait_for(helper._child.process.wait(), 5) == -9
    await helper._drop()
