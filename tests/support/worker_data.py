"""Datasets for the worker's tests: scans of digits as canonical shards, small and real."""

import hashlib
import io
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from sklearn.datasets import load_digits
from visiontune_data.columns import columns_for, schema
from visiontune_data.example import Kind as DataKind
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.spec import Spec
from visiontune_worker.claim import Manifest, RemoteShard
from visiontune_worker.shards import Shards
from visiontune_worker.transfer import Transfer

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUESTION = "What digit is this?"
# Other tests run beside; a thread that waits for another one would spin.
torch.set_num_threads(1)
# What a row is, by a column that no other kind before it has.
KINDS = {"negatives": Kind.RETRIEVAL, "texts": Kind.CAPTIONED_IMAGE}
VERSION = "projects/p/datasets/digits/versions/v1"


@cache
def scans() -> tuple[tuple[bytes, int], ...]:
    """All 1,797 scans as 32-pixel PNGs with their digits."""
    digits = load_digits()
    return tuple(
        (_png(image), int(target)) for image, target in zip(digits.images, digits.target, strict=True)
    )


def word(digit: int) -> str:
    """The digit in words."""
    return WORDS[digit]


def parity(digit: int) -> str:
    """`odd` or `even`."""
    return "odd" if digit % 2 else "even"


def row(index: int, answer: Callable[[int], str] = word, question: str = QUESTION) -> dict[str, object]:
    """A canonical example; every fifth one is for validation."""
    data, digit = scans()[index]
    return {
        "id": f"digit-{index:04d}",
        "images": [{"bytes": data, "path": f"{index}.png"}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "text": None}, {"type": "text", "text": "\n" + question}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": answer(digit)}]},
        ],
        "split": "validation" if index % 5 == 0 else "train",
        "metadata": "{}",
    }


def write_shards(
    folder: Path,
    rows: Sequence[dict[str, object]],
    *,
    shards: int = 1,
    base_url: str = "",
    kind: Kind | None = None,
) -> Manifest:
    """Writes rows as shards and returns their manifest; URLs are `base_url` and the file's name."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind is None:
        found = (each for column, each in KINDS.items() if column in rows[0])
        kind = next(found, Kind.CHAT_WITH_IMAGES)
    columns = schema(columns_for([DataKind[kind]]))
    remote = []
    for index, part in enumerate(np.array_split(np.arange(len(rows)), shards)):
        path = folder / f"shard-{index}.parquet"
        chosen = [rows[int(place)] for place in part]
        pq.write_table(pa.Table.from_pylist(chosen, schema=columns), path, row_group_size=100)
        splits = [str(each["split"]) for each in chosen]
        remote.append(
            RemoteShard(
                index=index,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                size_bytes=path.stat().st_size,
                rows=len(chosen),
                split_counts={split: splits.count(split) for split in set(splits)},
                url=f"{base_url}/{path.name}",
            )
        )
    splits = [str(each["split"]) for each in rows]
    counts = {split: splits.count(split) for split in ("train", "validation")}
    facts = DatasetFacts(frozenset({kind}), counts)
    return Manifest(VERSION, "sha256:" + "0" * 64, remote, facts)


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    grey = Image.fromarray((image * 15.9375).astype(np.uint8))
    grey.resize((32, 32), Image.Resampling.BICUBIC).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def local_shards(manifest: Manifest, folder: Path, scratch: Path) -> Shards:
    """The shards that `write_shards` wrote into `folder`, read without a server."""
    return Shards(manifest, scratch, LocalTransfer(folder), limit_bytes=10**9, renew=lambda: manifest)


class LocalTransfer(Transfer):
    """Copies from a folder: what is fetched is not what these tests are about."""

    def __init__(self, folder: Path) -> None:
        super().__init__(patience_s=1.0)
        self._folder = folder

    def get(self, url: str, to: Path, *, sha256: str, size_bytes: int) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._folder / url.rpartition("/")[2], to)


def texts(count: int = 50) -> list[str]:
    """What a preset's tokenizer learns from."""
    return ["\n" + QUESTION] * count + list(WORDS) * 5


def spec(base: dict[str, object] | None = None, **fields: object) -> Spec:
    """A spec as asked; the preset unless another base is given."""
    return Spec.model_validate(
        {"dataset_version": VERSION, "base_model": base or {"preset": "tiny-llava"}, **fields}
    )
