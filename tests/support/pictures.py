"""Archives of many small pictures, each different, as quickly as they can be made."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image, ImageDraw

from examples.digits import add

SIDE_PX = 96


def build(path: Path, count: int) -> None:
    """Writes `count` LLaVA records, each with a picture of its number."""
    records = (record(number) for number in range(count))
    with tarfile.open(path, "w") as archive:
        add(archive, "train.jsonl", "".join(json.dumps(row) + "\n" for row in records).encode())
        for number in range(count):
            add(archive, f"{number:05d}.jpg", picture(number))


def record(number: int) -> dict[str, object]:
    return {
        "id": f"n-{number:05d}",
        "image": f"{number:05d}.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhich number is this?"},
            {"from": "gpt", "value": f"It is {number}."},
        ],
    }


def picture(number: int) -> bytes:
    """The number on a ground whose colour says it, too."""
    ground = (number % 251, number // 251 * 5 % 256, 90 + number * 7 % 160)
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), ground)
    ImageDraw.Draw(image).text((20, 40), f"{number:05d}", fill="white")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
