"""The program as a process: its commands, its pages, its end."""

import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from visiontune_gateway import app
from visiontune_gateway.__main__ import main
from visiontune_gateway.settings import Settings
from visiontune_kit.database import Database

from tests.integration.gateway.conftest import Client
from tests.support import databases


async def test_health_says_that_it_lives(http: httpx.AsyncClient) -> None:
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "SERVING"})


async def test_readiness_names_what_is_missing(http: httpx.AsyncClient) -> None:
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["services"] == {
        "storage": "UNREACHABLE",
        "dataset": "SERVING",
        "trainer": "SERVING",
        "identity": "SERVING",
    }


async def test_readiness_comes_with_the_last_service(settings: Settings, upstream: str) -> None:
    complete = settings.model_copy(update={"storage_target": upstream})
    async with app.running(complete) as addresses, httpx.AsyncClient() as http:
        answer = await http.get(f"http://{addresses.http}/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "SERVING")


async def test_the_openapi_document_is_served_and_revalidated(http: httpx.AsyncClient) -> None:
    answer = await http.get("/openapi.json")
    assert answer.json()["openapi"] == "3.1.0"
    assert answer.headers["content-encoding"] == "gzip"
    again = await http.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_public_key_is_published(http: httpx.AsyncClient) -> None:
    (key,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert (key["crv"], "d" in key) == ("Ed25519", False)


async def test_metrics_are_not_public(operator: Client) -> None:
    await operator.get("/v1/caller")
    assert "python_info" not in (await operator.http.get("/metrics")).text


async def test_a_taken_port_is_an_error_and_not_a_second_server(
    settings: Settings, addresses: app.Addresses
) -> None:
    taken = settings.model_copy(update={"port": int(addresses.http.rpartition(":")[2])})
    with pytest.raises(OSError, match="in use"):
        async with app.running(taken):
            pass


def test_without_a_signing_key_it_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(app.NoSigningKeyError, match="init-keys"):
        app.deps_of(
            settings.model_copy(update={"signing_key_file": None}), Database.open("sqlite+aiosqlite://")
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A new machine's variables, set in this process too."""
    keys = tmp_path / "keys"
    variables = {
        "VISIONTUNE_GATEWAY_PORT": str(free_port()),
        "VISIONTUNE_GATEWAY_METRICS_PORT": str(free_port()),
        "VISIONTUNE_GATEWAY_DATABASE_URL": databases.migrated_in(tmp_path, "gateway"),
        "VISIONTUNE_GATEWAY_SIGNING_KEY_FILE": str(keys / "gateway.pem"),
        "VISIONTUNE_ISSUERS_FILE": str(keys / "issuers.json"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    main(["init-keys", "--keys-dir", str(keys)])
    return variables


def test_a_valid_key_stays_and_a_dead_one_is_replaced(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    arguments = ["create-api-key", "--project", "default", "--role", "operator", "--file", str(file)]
    main(arguments)
    key = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    main(arguments)
    assert file.read_text() == key
    file.write_text("vt_k-old_secret\n")
    main(arguments)
    assert file.read_text() not in {key, "vt_k-old_secret\n"}


def test_a_key_without_a_file_is_printed(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["create-api-key", "--role", "viewer"])
    assert capsys.readouterr().out.startswith("vt_k-")


def test_the_process_serves_and_ends_in_peace(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    main(["create-api-key", "--role", "operator", "--file", str(file)])
    url = f"http://127.0.0.1:{environment['VISIONTUNE_GATEWAY_PORT']}"
    headers = {"Authorization": f"Bearer {file.read_text().strip()}"}
    served = subprocess.Popen([sys.executable, "-m", "visiontune_gateway"], stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=url, headers=headers) as http:
            until_alive(http)
            assert http.get("/v1/caller").json()["role"] == "ROLE_OPERATOR"
            metrics = http.get(f"http://127.0.0.1:{environment['VISIONTUNE_GATEWAY_METRICS_PORT']}/metrics")
            assert 'http_server_duration_seconds_count{code="200"' in metrics.text
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) == 0
    finally:
        served.kill()
        served.wait()


def until_alive(http: httpx.Client) -> None:
    for _ in range(600):
        try:
            http.get("/healthz")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the gateway did not start in 60 s")
