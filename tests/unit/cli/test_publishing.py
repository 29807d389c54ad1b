"""Models leave by the CLI: the gateway and the Hub are scripted ones (doubles at process borders)."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner
from visiontune.cli import app
from visiontune.cli.failures import EXPECTED, Failed

from tests.support.fake_hub import TOKEN, Hub, running_hub
from tests.support.scripted_http import Answer, Seen, as_json, scripted

FILES = {"README.md": b"---\nlibrary_name: transformers\n---\n# It\n", "model.safetensors": b"weights" * 100}
MODELS: dict[str, dict[str, Any]] = {
    "whole": {"family": "smolvlm"},
    "text": {"family": "text"},
    "llava": {"family": "llava"},
    "adapter": {"family": "text", "isAdapter": True, "baseModel": {"model": "projects/p/models/whole"}},
}
FAMILIES = [
    {"family": "smolvlm", "takes": ["CHAT_WITH_IMAGES", "CHAT"], "ggufConvertible": True},
    {"family": "text", "takes": ["CHAT"], "ggufConvertible": True},
    {"family": "llava", "takes": ["CHAT_WITH_IMAGES"]},
]


class Gateway:
    """Answers for a few models with the same files."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []

    def answer(self, seen: Seen) -> Answer:
        if seen.path.startswith("/bytes/"):
            return Answer(body=FILES[seen.path.removeprefix("/bytes/")])
        if seen.path == "/v1/modelFamilies":
            return as_json({"families": FAMILIES})
        name = seen.path.partition("?")[0].removeprefix("/v1/")
        if name.endswith("/files"):
            return as_json({"files": [self._file(path, data) for path, data in FILES.items()]})
        return as_json({"name": name, **MODELS[name.rpartition("/")[2]]})

    def _file(self, path: str, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        return {
            "path": path,
            "sizeBytes": str(len(data)),
            "sha256": digest,
            "url": f"{self.url}/bytes/{path}",
        }


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    with scripted(made.answer) as server:
        made.url, made.seen = server.url, server.seen
        yield made


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as made:
        # As HF_ENDPOINT, HF_HUB_DISABLE_XET and HF_TOKEN would, had they been set before the library came.
        monkeypatch.setattr(constants, "ENDPOINT", made.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made


def models(gateway: Gateway, *arguments: str) -> str:
    """What `visiontune models …` prints. Raises what it fails with."""
    connection = ("--server", gateway.url, "--api-key", "k", "--project", "p")
    result = CliRunner().invoke(app, ["models", *arguments, *connection])
    if isinstance(result.exception, EXPECTED):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def next_step(error: BaseException) -> str:
    assert isinstance(error, Failed)
    return error.next_step


def test_a_models_files_are_fetched_into_a_folder(gateway: Gateway, tmp_path: Path) -> None:
    for _ in range(2):
        models(gateway, "download", "whole", "--to", str(tmp_path / "here"))
    assert {each.name: each.read_bytes() for each in (tmp_path / "here").iterdir()} == FILES
    assert len([each for each in gateway.seen if each.path.startswith("/bytes/")]) == len(FILES)


def test_a_model_is_pushed_by_the_machine_of_its_user(gateway: Gateway, tmp_path: Path) -> None:
    with running_hub() as hub:
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(tmp_path),
            "VISIONTUNE_SERVER": gateway.url,
            "VISIONTUNE_API_KEY": "k",
            "VISIONTUNE_PROJECT": "p",
        }
        done = subprocess.run(
            [sys.executable, "-m", "visiontune.cli", "models", "push", "whole", "--repo-id", "me/digits"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert hub.files["me/digits"] == FILES
        assert hub.private == {"me/digits": True}
        assert f"{hub.url}/me/digits" in done.stdout
    # The token is the Hub's alone.
    assert TOKEN not in done.stdout + done.stderr
    assert all(TOKEN not in f"{each.headers}{each.body!r}{each.path}" for each in gateway.seen)


def test_a_push_that_broke_off_goes_on_without_sending_twice(
    gateway: Gateway, hub: Hub, tmp_path: Path
) -> None:
    push = ("push", "whole", "--repo-id", "me/digits", "--public", "--to", str(tmp_path / "kept"))
    hub.failing_puts = 1
    with pytest.raises(Failed, match="broke off") as failed:
        models(gateway, *push)
    assert "--existing" in next_step(failed.value)
    with pytest.raises(Failed, match="exists already"):
        models(gateway, *push)
    for _ in range(2):
        models(gateway, *push, "--existing")
    assert hub.files["me/digits"] == FILES
    assert hub.private == {"me/digits": False}
    assert hub.puts == 1
    assert len([each for each in gateway.seen if each.path.startswith("/bytes/")]) == len(FILES)


@pytest.mark.parametrize(
    ("repo_id", "token", "said", "remedy"),
    [
        ("me/digits", "", "No token", "hf auth login"),
        ("me/digits", "hf_another", "refused the token", "right to write"),
        ("they/digits", TOKEN, "refused the token: it may not write to they/digits", "owner's name"),
        ("digits", TOKEN, "no name of a repository", "OWNER/NAME"),
        ("me/di gits", TOKEN, "di gits", ""),
    ],
)
def test_a_push_that_cannot_be_says_why(
    gateway: Gateway,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    repo_id: str,
    token: str,
    said: str,
    remedy: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(Failed, match=said) as failed:
        models(gateway, "push", "whole", "--repo-id", repo_id)
    assert remedy in next_step(failed.value)
    assert not hub.files.get(repo_id)


def test_without_the_library_or_the_hub_it_says_so(
    gateway: Gateway, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(Failed, match="broke off"):
        models(gateway, "push", "whole", "--repo-id", "me/digits")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(Failed, match="needs the package") as failed:
        models(gateway, "push", "whole", "--repo-id", "me/digits")
    assert "visiontune[hub]" in next_step(failed.value)


def test_who_pushes_an_adapter_on_a_model_of_here_is_warned(gateway: Gateway, hub: Hub) -> None:
    said = models(gateway, "push", "adapter", "--repo-id", "me/digits")
    assert "--artifact merged" in said
    assert hub.files["me/digits"] == FILES


def test_the_commands_that_make_gguf_are_shown(gateway: Gateway, tmp_path: Path) -> None:
    said = models(gateway, "export", "text", "--to", str(tmp_path / "text"))
    assert f"python convert_hf_to_gguf.py {tmp_path}/text --outfile {tmp_path}/text/model.gguf" in said
    assert "mmproj" not in said
    assert {each.name for each in (tmp_path / "text").iterdir()} == set(FILES)
    said = models(gateway, "export", "whole", "--to", str(tmp_path / "whole"))
    assert f"{tmp_path}/whole --mmproj --outfile {tmp_path}/whole/mmproj.gguf" in said


@pytest.mark.parametrize(
    ("model", "said", "remedy"),
    [
        ("llava", 'no models of the family "llava"', "It takes: smolvlm, text."),
        ("adapter", "is an adapter", "--artifact merged"),
    ],
)
def test_what_no_converter_takes_is_refused(gateway: Gateway, model: str, said: str, remedy: str) -> None:
    with pytest.raises(Failed, match=said) as failed:
        models(gateway, "export", model)
    assert remedy in next_step(failed.value)
    assert not any(each.path.startswith("/bytes/") for each in gateway.seen)
