"""Builds digits.tar.gz: scans of handwritten digits as a LLaVA dataset.

    python examples/digits.py digits.tar.gz
    python examples/digits.py parity.tar.gz --task parity

The scans are the 1,797 that scikit-learn ships (E. Alpaydin, C. Kaynak 1998, UCI "Optical Recognition of
Handwritten Digits", CC BY 4.0): 8x8 pixels, 17 shades, 43 writers. They are enlarged to 32x32. The same
options give the same bytes, on any machine.
"""

import argparse
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE_PX = 32
SHADES = 16  # the brightest value of a scan

# Each task: what is asked, and what the answer to a digit is.
TASKS: dict[str, tuple[str, Callable[[int], str]]] = {
    "digit": ("Which digit is this?", str),
    "parity": ("Is this digit odd or even?", lambda digit: "odd" if digit % 2 else "even"),
}


def records(labels: np.ndarray, task: str) -> Iterator[dict[str, object]]:
    """One LLaVA record a scan. The id depends on the scan alone, so each task holds out the same scans."""
    question, answer = TASKS[task]
    for number, label in enumerate(labels):
        yield {
            "id": f"scan-{number:04d}",
            "image": f"images/{number:04d}.png",
            "conversations": [
                {"from": "human", "value": f"<image>\n{question}"},
                {"from": "gpt", "value": answer(int(label))},
            ],
        }


def png(scan: np.ndarray) -> bytes:
    """One 8x8 scan as a 32x32 RGB picture, dark ink on white."""
    shades = (255 - scan * (255 / SHADES)).round().astype(np.uint8)
    picture = Image.fromarray(shades).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).convert("RGB")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def build(path: Path, task: str = "digit", limit: int | None = None) -> int:
    """Writes the archive and returns the number of records."""
    digits = load_digits()
    scans, labels = digits.images[:limit], digits.target[:limit]
    lines = "".join(json.dumps(record) + "\n" for record in records(labels, task))
    # Neither gzip's nor tar's clock may enter the bytes.
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        add(archive, "train.jsonl", lines.encode())
        for number, scan in enumerate(scans):
            add(archive, f"images/{number:04d}.png", png(scan))
    return len(labels)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds one file that belongs to nobody and has no date."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def main() -> None:
    """Parses the command line and builds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="file to write, for example digits.tar.gz")
    parser.add_argument("--task", choices=sorted(TASKS), default="digit")
    parser.add_argument("--limit", type=int, help="only the first so many scans")
    options = parser.parse_args()
    count = build(options.archive, options.task, options.limit)
    print(f"{options.archive}: {count:,} scans, {options.archive.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
