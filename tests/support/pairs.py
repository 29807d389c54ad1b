"""Scans of digits with captions, and as pages that a query shall find: data for objectives that compare."""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image
from visiontune_worker.shards import Example

from tests.support import worker_data

CAPTIONS = ("a handwritten {}", "the digit {}", "{}, as somebody wrote it")


def captioned(index: int, *captions: str) -> dict[str, Any]:
    """A scan with captions: those given, or one that says which digit it is."""
    data, digit = worker_data.scans()[index]
    return {
        "id": f"scan-{index:04d}",
        "images": [{"bytes": data, "path": f"scans/{index}.png"}],
        "texts": [each.format(worker_data.word(digit)) for each in captions or CAPTIONS[:1]],
        "split": "validation" if index % 5 == 0 else "train",
        "metadata": "{}",
    }


def unlike(index: int) -> dict[str, Any]:
    """A scan whose caption no other has."""
    return captioned(index, f"scan {index}, a {{}}")


def page(index: int, negatives: int = 0) -> dict[str, Any]:
    """A query and the scan that it shall find, with scans of other digits that it shall not."""
    _, digit = worker_data.scans()[index]
    others = [
        place for place in range(index + 1, index + 50) if worker_data.scans()[place % 1797][1] != digit
    ]
    wrong = [place % 1797 for place in others[:negatives]]
    return {
        **captioned(index, "Where is a {}?"),
        "negatives": [
            {"bytes": worker_data.scans()[place][0], "path": f"scans/{place}.png"} for place in wrong
        ],
    }


def pictures(rows: Sequence[dict[str, Any]], side: str = "images") -> list[Image.Image]:
    """The scans of one side of rows, as anyone would open them."""
    return [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for row in rows for image in row[side]]


def example(row: dict[str, Any]) -> Example:
    """A row as the worker reads it."""
    negatives = row.get("negatives", [])
    return Example(
        name=f"v/examples/{int(row['id'].rpartition('-')[2])}",
        id=row["id"],
        images=[each["bytes"] for each in row["images"]],
        messages=(),
        texts=row["texts"],
        negatives=[each["bytes"] for each in negatives],
        image_paths=[each["path"] for each in (*row["images"], *negatives)],
    )
