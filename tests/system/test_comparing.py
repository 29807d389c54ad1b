"""Training that compares texts with images, as a user meets it: import, train, look, go on with adapters."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import archives, pairs
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROWS = 150


def archive(folder: Path, rows: list[dict[str, Any]], record: Any) -> Path:
    """Records of some format beside their images."""
    images = {
        each["path"]: each["bytes"] for row in rows for each in (*row["images"], *row.get("negatives", []))
    }
    lines = "\n".join(json.dumps(record(row)) for row in rows)
    path = folder / "data.tar.gz"
    path.write_bytes(archives.tar_gz({"train.jsonl": lines.encode(), **images}))
    return path


def trained(stack: Stack, *arguments: str) -> dict[str, Any]:
    done = json.loads(stack.cli("train", *arguments, "--output", "json").stdout)
    assert done["state"] == "STATE_SUCCEEDED"
    return dict(done)


def test_captions_become_a_clip_and_adapters_on_it(stack: Stack, tmp_path: Path) -> None:
    rows = [pairs.captioned(index, *pairs.CAPTIONS) for index in range(ROWS)]
    data = archive(tmp_path, rows, lambda row: {"image": row["images"][0]["path"], "texts": row["texts"]})
    stack.cli("dataset", "import", str(data), "--dataset", "captioned")
    refused = stack.cli("train", "-d", "captioned", "-m", "tiny-llava", check=False)
    assert 'The family "llava" cannot train on examples of kind CAPTIONED_IMAGE.' in refused.stderr

    first = trained(stack, "-d", "captioned", "-m", "tiny-clip", "--max-steps", "20")
    assert first["metricsAfter"]["loss"] < first["metricsBefore"]["loss"]
    name = first["name"].rpartition("/")[2]
    samples = stack.cli("job", "samples", name, "--output", "json").stdout
    assert "1. " in samples
    stack.cli("models", "register", "captions", "--job", name)
    second = trained(stack, "-d", "captioned", "-m", "captions", "--max-steps", "4")
    assert second["resolvedSpec"]["adaptation"]["method"] == "METHOD_LORA"
    folder = tmp_path / "result"
    stack.cli("job", "artifacts", second["name"].rpartition("/")[2], "--download", str(folder))
    assert list(folder.rglob("adapter_model.safetensors"))


def test_queries_become_a_retriever(stack: Stack, tmp_path: Path) -> None:
    rows = [pairs.page(index, negatives=1) for index in range(ROWS)]
    data = archive(
        tmp_path,
        rows,
        lambda row: {
            "query": row["texts"][0],
            "image": row["images"][0]["path"],
            "negatives": [each["path"] for each in row["negatives"]],
        },
    )
    stack.cli("dataset", "import", str(data), "--dataset", "pages")
    done = trained(stack, "-d", "pages", "-m", "tiny-colqwen2", "--max-steps", "20")
    assert {"ndcg_at_5", "recall_at_1", "loss"} <= done["metricsAfter"].keys()
