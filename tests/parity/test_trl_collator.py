"""A version's shards, streamed by signed URL with Hugging Face `datasets`, feed TRL's vision collator."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_recipes.families.llava import IMAGE_TOKEN
from visiontune_recipes.presets import PRESETS
from visiontune_worker import presets

from tests.support.archives import jsonl, llava, picture
from tests.support.dataset import DatasetHandle, running_dataset
from tests.support.s3 import SeaweedFS

IMAGES = {f"i/{n}.jpg": picture(n, size=(32, 32)) for n in range(4)}
ASKED, ANSWER = {"type": "text", "text": "What digits?"}, {"role": "assistant", "content": "Seven."}


def part(number: int) -> dict[str, str]:
    return {"type": "image", "image": f"i/{number}.jpg"}


RECORDS = {
    "llava": [llava("i/0.jpg"), llava(["i/1.jpg", "i/2.jpg"]), llava(None, "No picture.")],
    "qwen2-vl": [
        {"messages": [{"role": "user", "content": [part(0), ASKED, part(1)]}, ANSWER]},
        {"messages": [{"role": "user", "content": [ASKED, part(2)]}, ANSWER]},
        {"messages": [{"role": "user", "content": [ASKED]}, ANSWER]},
    ],
}


@pytest.fixture
async def service(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[DatasetHandle]:
    async with running_dataset(s3, tmp_path) as handle:
        yield handle


@pytest.mark.parametrize("format_", RECORDS)
async def test_shards_by_signed_url_feed_trl(format_: str, service: DatasetHandle) -> None:
    files = {"train.jsonl": jsonl(*RECORDS[format_]), **IMAGES}
    version = await service.imported(await service.create(), files, validation_fraction=0)
    assert version.format == format_
    manifest = await service.call("GetReadManifest", pb.GetReadManifestRequest(name=version.name))
    rows, batch, image_token = await asyncio.to_thread(collated, [shard.url for shard in manifest.shards])
    images = [len(row["images"]) for row in rows]
    assert images == ([1, 2, 0] if format_ == "llava" else [2, 1, 0])
    assert batch["pixel_values"].shape[0] == sum(images)
    # One run of image tokens an image, as many in all as the images have patches.
    per_image = (batch["input_ids"] == image_token).sum(dim=1).tolist()
    assert [count / per_image[images.index(1)] for count in per_image] == images
    assert (batch["labels"] != -100).any()


def collated(urls: list[str]) -> tuple[list[dict[str, Any]], Any, int]:
    """The rows, what TRL's collator makes of them, and the token that stands for an image."""
    streamed = datasets.load_dataset("parquet", data_files=urls, split="train", streaming=True)
    rows = list(streamed)
    processor = presets.processor(PRESETS["tiny-llava"], ["What digits? Seven. No picture."])
    batch = DataCollatorForVisionLanguageModeling(processor, max_length=None)([dict(row) for row in rows])
    return rows, batch, processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
