"""Server streams over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
from visiontune_gateway import app
from visiontune_gateway.local_keys import provide_api_key
from visiontune_gateway.settings import Settings
from visiontune_kit.identity import Role

from tests.integration.gateway.conftest import Client, Seen

JOBS = "/v1/projects/default/trainingJobs"


async def events(client: Client, path: str, **headers: str) -> list[tuple[str, str, str]]:
    return [one async for one in watch(client, path, **headers)]


async def watch(client: Client, path: str, **headers: str) -> AsyncIterator[tuple[str, str, str]]:
    """Yields (name, id, data)."""
    every = {"Authorization": f"Bearer {client.key}", **headers}
    async with client.http.stream("GET", path, headers=every) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif "event" in fields:
                yield fields["event"], fields.get("id", ""), fields["data"]
                fields = {}
            else:
                fields = {}


async def test_a_watch_ends_with_done(operator: Client) -> None:
    found = await events(operator, f"{JOBS}/three:watch")
    assert [(name, mark) for name, mark, _ in found] == [
        ("message", "1"),
        ("message", "2"),
        ("message", "3"),
        ("done", ""),
    ]
    assert json.loads(found[0][2]) == {"cursor": "1", "event": {"sequence": "1"}}


async def test_the_last_event_id_is_where_it_goes_on(operator: Client, seen: Seen) -> None:
    found = await events(operator, f"{JOBS}/three:watch", **{"Last-Event-ID": "2"})
    assert [mark for _, mark, _ in found] == ["3", ""]
    assert seen.requests[0].cursor == "2"


async def test_a_cursor_in_the_query_wins_over_the_header(operator: Client, seen: Seen) -> None:
    await events(operator, f"{JOBS}/three:watch?cursor=1", **{"Last-Event-ID": "2"})
    assert seen.requests[0].cursor == "1"


async def test_a_failure_in_mid_stream_is_told(operator: Client) -> None:
    found = await events(operator, f"{JOBS}/fails:watch")
    assert [name for name, _, _ in found] == ["message", "message", "error"]
    status = json.loads(found[-1][2])
    assert (status["code"], status["details"][0]["reason"]) == (14, "DatabaseAway")


async def test_a_refused_watch_is_an_http_error(operator: Client) -> None:
    answer = await operator.get(f"{JOBS}/absent:watch")
    assert answer.status_code == 404
    assert answer.json()["details"][0]["reason"] == "JobNotFound"


async def test_a_watcher_who_leaves_ends_the_call_behind(operator: Client, seen: Seen) -> None:
    async for _ in watch(operator, f"{JOBS}/endless:watch"):
        break
    await asyncio.wait_for(seen.watch_ended.wait(), 5)


async def test_shutdown_ends_watches_and_lets_calls_finish(settings: Settings, seen: Seen) -> None:
    async with httpx.AsyncClient(timeout=20) as http:
        async with app.running(settings) as addresses:
            http.base_url = httpx.URL(f"http://{addresses.http}")
            client = Client(http, await provide_api_key(settings, "default", Role.VIEWER, ""))
            stream = watch(client, f"{JOBS}/endless:watch")
            assert (await anext(stream))[0] == "message"
            rest = asyncio.create_task(_collect(stream))
            await asyncio.sleep(0)
        found = await rest
    assert [name for name, _, _ in found] == ["error"]
    assert json.loads(found[0][2])["details"][0]["reason"] == "ShuttingDown"


async def _collect(stream: AsyncIterator[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [one async for one in stream]
