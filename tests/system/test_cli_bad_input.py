"""Bad input through the command, against the real stack: one clear error, and nothing left behind."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import stack as stacks
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(400)
TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A dot."}]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = stacks.make(tmp_path_factory.mktemp("bad") / "home")
    made.up()
    yield made
    made.down()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def records(*entries: object) -> bytes:
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


def refused(stack: Stack, path: Path, dataset: str) -> str:
    """Imports and returns what stderr said; checks that nothing was made."""
    used = usage(stack)
    done = stack.cli("dataset", "import", str(path), "--dataset", dataset, "-o", "json", check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(stack.cli("dataset", "versions", dataset, "-o", "json").stdout) == []
    assert usage(stack) == used
    return done.stderr


def usage(stack: Stack) -> tuple[int, int]:
    with stack.client() as client:
        quota = client.get_quota()
        return quota.used_bytes, quota.reserved_bytes


def test_what_is_no_archive_is_said(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "notes.tar.gz"
    path.write_text("just text")
    assert "notes.tar.gz" in refused(stack, path, "no-archive")


def test_an_image_that_is_absent_is_named_with_its_line(stack: Stack, tmp_path: Path) -> None:
    line = {"id": "1", "image": "img/0042.png", "conversations": TURNS}
    path = archive(tmp_path / "a.tar.gz", {"train.jsonl": records(line)})
    said = refused(stack, path, "absent-image")
    assert "a.tar.gz › train.jsonl:1 › $.image" in said
    assert "img/0042.png" in said


def test_broken_json_is_named_with_its_line(stack: Stack, tmp_path: Path) -> None:
    path = archive(
        tmp_path / "b.tar.gz", {"train.jsonl": records({"id": "1", "conversations": TURNS}) + b"{oops\n"}
    )
    assert "train.jsonl:2" in refused(stack, path, "broken-json")


def test_a_learning_rate_of_zero_names_the_field(stack: Stack) -> None:
    done = stack.cli(
        "train", "--dataset", "none/v1", "--model", "tiny-llava", "--learning-rate", "0", check=False
    )
    assert done.returncode == 1
    assert "learning_rate" in done.stderr


def test_a_learning_rate_of_text_is_wrong_use(stack: Stack) -> None:
    done = stack.cli("train", "--dataset", "a/v1", "--learning-rate", "fast", check=False)
    assert done.returncode == 2


def test_an_unknown_model_names_the_known_ones(stack: Stack) -> None:
    done = stack.cli("train", "--dataset", "none/v1", "--model", "tiny-lava", check=False)
    assert done.returncode == 1
    assert "tiny-llava" in done.stderr
