"""Small files through the gateway to a real storage service, by clients that know nothing but HTTP."""

import asyncio
import hashlib
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner
from visiontune.cli import app as cli
from visiontune.client import Client as Sdk
from visiontune_gateway.local_keys import provide_api_key
from visiontune_gateway.settings import Settings
from visiontune_kit.identity import Role

from tests.integration.gateway.conftest import Client
from tests.support.eventually import eventually
from tests.support.kustomize import ROOT
from tests.support.pictures import picture
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

MIB = 1024 * 1024
PATH = "/v1/projects/default/uploads:bytes"


@pytest.fixture
async def storage(s3: SeaweedFS, tmp_path: Path, keys_folder: Path) -> AsyncIterator[StorageHandle]:
    assert keys_folder == tmp_path / "keys"  # which the two share
    async with running_storage(s3, tmp_path, small_upload_limit_bytes=2 * MIB) as handle:
        yield handle


@pytest.fixture
def settings(settings: Settings, storage: StorageHandle) -> Settings:
    return settings.model_copy(update={"storage_target": storage.target})


def declared(content: bytes, **more: str) -> dict[str, str]:
    return {"filename": "a.bin", "sha256": hashlib.sha256(content).hexdigest(), **more}


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["details"][0]["reason"]
    return found


async def test_the_example_of_the_manual_works(
    operator: Client, storage: StorageHandle, tmp_path: Path
) -> None:
    manual = (ROOT / "docs" / "object-stores.md").read_text("utf-8")
    found = re.search(r"<!-- run: upload -->\n```bash\n(.*?)```", manual, re.DOTALL)
    assert found
    (tmp_path / "photo.png").write_bytes(picture(3))
    variables = {"VISIONTUNE_SERVER": str(operator.http.base_url), "VISIONTUNE_API_KEY": operator.key}
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", found[1]],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        check=True,
    )
    upload = json.loads(done.stdout)
    assert (upload["state"], upload["contentType"]) == ("STATE_COMPLETE", "image/png")
    assert await storage.read(upload["object"]) == picture(3)


async def test_sdk_and_cli_send_files(operator: Client, storage: StorageHandle, tmp_path: Path) -> None:
    server, content = str(operator.http.base_url), os.urandom(MIB)
    with Sdk(server, operator.key) as sdk:
        done = await asyncio.to_thread(sdk.upload_bytes, content, "a.png", content_type="image/png")
    assert (done.size_bytes, done.content_type) == (MIB, "image/png")
    assert await storage.read(done.object) == content
    path = tmp_path / "b.jpg"
    path.write_bytes(content)
    arguments = ["storage", "put", str(path), "--server", server, "--api-key", operator.key]
    printed = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
    assert printed.exit_code == 0, printed.output
    assert "projects/default/uploads/" in printed.output
    assert (await storage.quota()).object_count == 2


async def test_a_body_of_any_size_is_passed_on_as_it_comes(operator: Client, storage: StorageHandle) -> None:
    """More than this gateway takes of JSON, and without a length."""
    content = os.urandom(MIB)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, MIB, 1000):
            yield content[at : at + 1000]

    answer = await operator.post(PATH, params=declared(content), content=pieces())
    assert answer.status_code == 200, answer.text
    assert await storage.read(answer.json()["object"]) == content


async def test_refusals_are_those_of_every_call(
    operator: Client, stranger: Client, settings: Settings, storage: StorageHandle
) -> None:
    content = b"hello"
    for params, code, expected in (
        (declared(content, sha256="0" * 64), 500, "DigestMismatch"),
        (declared(content, sizeBytes="4"), 500, "SizeMismatch"),
        (declared(content, sizeBytes=str(3 * MIB)), 400, "TooLargeForOneCall"),
        (declared(content, sha256=""), 400, "InvalidRequest"),
        (declared(content, size="4"), 400, "UnreadableRequest"),
        (declared(content, owner="projects/default/datasets/d"), 403, "OwnerReserved"),
    ):
        answer = await operator.post(PATH, params=params, content=content)
        assert (answer.status_code, reason(answer)) == (code, expected)
    answer = await stranger.post(PATH, params=declared(content), content=content)
    assert (answer.status_code, reason(answer)) == (404, "ProjectNotFound")
    viewer = Client(operator.http, await provide_api_key(settings, "default", Role.VIEWER, ""))
    answer = await viewer.post(PATH, params=declared(content), content=content)
    assert (answer.status_code, reason(answer)) == (403, "RoleTooLow")
    assert (await storage.quota()).pending_upload_count == 0


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(
    operator: Client, storage: StorageHandle
) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield bytes(MIB)
            sent += 1

    try:
        answer = await operator.post(PATH, params=declared(b""), content=pieces())
    except httpx.TransportError:  # it closes while we send, and we may see that alone
        pass
    else:
        assert (answer.status_code, reason(answer)) == (400, "TooLargeForOneCall")
    assert sent < 100
    assert (await storage.quota()).pending_upload_count == 0


async def test_a_client_that_leaves_leaves_nothing(operator: Client, storage: StorageHandle) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await operator.post(PATH, params=declared(bytes(2 * MIB)), content=pieces())

    async def nothing_is_held() -> bool:
        answer = await operator.post(PATH, params=declared(b"next"), content=b"next")
        return answer.status_code == 200

    await eventually(nothing_is_held)
    assert (await storage.quota()).reserved_bytes == 0


async def test_a_client_that_stalls_gets_no_more_time_than_a_call(
    operator: Client, storage: StorageHandle
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"he"
        await asyncio.sleep(1.5)

    headers = {"X-Request-Timeout": "0.3"}
    answer = await operator.post(PATH, params=declared(b"hello"), content=pieces(), headers=headers)
    assert (answer.status_code, reason(answer)) == (504, "DeadlinePassed")
