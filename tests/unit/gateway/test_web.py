"""The static half: the app's files, under a policy that lets nothing else in."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from visiontune_gateway.settings import Settings
from visiontune_gateway.web import WebApp, content_security_policy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "web"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html>the app")
    (built / "assets" / "app-1a2b.js").write_text("let x;")
    (built / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    return built


async def get(folder: Path, path: str) -> httpx.Response:
    web = WebApp(folder, "https://s3.example.org")
    app = Starlette(routes=[Route("/{path:path}", web.answer)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", ["/", "/datasets/digits", "/jobs/a/metrics", "/docs"])
async def test_paths_of_the_app_get_its_page(folder: Path, path: str) -> None:
    answer = await get(folder, path)
    assert (answer.status_code, answer.text) == (200, "<!doctype html>the app")
    assert answer.headers["cache-control"] == "no-cache"


async def test_hashed_files_are_kept_for_ever(folder: Path) -> None:
    answer = await get(folder, "/assets/app-1a2b.js")
    assert (answer.status_code, answer.text) == (200, "let x;")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "javascript" in answer.headers["content-type"]


async def test_other_files_are_asked_for_again(folder: Path) -> None:
    answer = await get(folder, "/favicon.svg")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("path", ["/assets/app-old.js", "/missing.png", "/%2e%2e/secret.txt"])
async def test_a_missing_file_is_no_page(folder: Path, path: str) -> None:
    answer = await get(folder, path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/", "/assets/app-1a2b.js", "/missing.png"])
async def test_every_answer_carries_the_policy(folder: Path, path: str) -> None:
    headers = (await get(folder, path)).headers
    assert headers["content-security-policy"] == content_security_policy("https://s3.example.org")
    assert headers["x-content-type-options"] == "nosniff"


def test_the_policy_lets_in_own_scripts_and_the_object_store_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in content_security_policy("https://s3.example.org").split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["connect-src"] == "'self' https://s3.example.org"
    assert content_security_policy("").count("'self'") == 6


async def test_without_a_build_the_page_says_so(tmp_path: Path) -> None:
    answer = await get(tmp_path, "/")
    assert answer.status_code == 404
    assert "not built" in answer.text


def test_the_object_store_of_this_machine_is_reachable_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISIONTUNE_GATEWAY_HOST", raising=False)
    assert "http://127.0.0.1:*" in Settings(host="127.0.0.1").object_store_origins
    assert Settings(host="0.0.0.0").object_store_origins == ""  # noqa: S104 - nothing listens here
