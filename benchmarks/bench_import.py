"""Import images/s: ours, from an archive to shards, against a plain `datasets` program and the decode limit.

Ours reads a tar (JPEGs gain nothing from gzip), checks it, and writes shards, previews and digests. The peer
finds its files unpacked. The limit decodes them with Pillow and does nothing else. Each turn is a whole run
with as many processes as there are cores, started within it by all three, and with an empty folder, so that
nothing is cached but files by the kernel. Ours and the limit come from a server of forks, as the service's
imports do: it has imported what they run and nothing else, and a process pays for each page that it shares
with a parent and writes to.
"""

import io
import json
import multiprocessing
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import skimage
import sklearn.datasets
from datasets.table import embed_table_storage
from PIL import Image

from benchmarks import import_work
from benchmarks.result import Result

QUALITY = 90
PROCESSES = os.cpu_count() or 1
ROUNDS = 3
AIM_PEER = 2.0
AIM_LIMIT = 0.6
_CHUNK = 32
_THUMBNAIL_SIDE = 256
_THUMBNAIL_QUALITY = 80
_QUESTION = "What is this a part of?"
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([import_work.__name__, "visiontune_dataset.adapters.arrow_ready"])
_SCIKIT_IMAGE = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)
_SCIKIT_LEARN = ("china.jpg", "flower.jpg")


@dataclass(frozen=True, slots=True)
class Photographs:
    """How many, of what size."""

    count: int
    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px:,}x{self.height_px:,}"


SMALL, LARGE = Photographs(3_000, 512, 384), Photographs(300, 2048, 1536)


def measure() -> list[Result]:
    """Interleaved medians of images/s, for small photographs and for large ones."""
    return [result for photographs in (SMALL, LARGE) for result in _measure(photographs)]


def _measure(photographs: Photographs) -> list[Result]:
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as name:
        bench = _Bench(Path(name), photographs)
        kinds: dict[str, Callable[[], float]] = {"ours": bench.ours, "peer": bench.peer, "limit": bench.limit}
        found: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, run in kinds.items():
                found[kind].append(run())
                print(f"  {kind}: {found[kind][-1]:.0f} images/s", flush=True)
    medians = {kind: statistics.median(speeds) for kind, speeds in found.items()}
    ours = medians["ours"]
    return [
        Result(
            f"import {photographs}, against a plain datasets program",
            "images/s",
            ours,
            medians["peer"],
            AIM_PEER,
        ),
        Result(
            f"import {photographs}, as a share of decoding with Pillow",
            "images/s",
            ours,
            medians["limit"],
            AIM_LIMIT,
        ),
    ]


class _Bench:
    """The same photographs twice: as a tar for us, as an imagefolder for the others."""

    def __init__(self, folder: Path, photographs: Photographs) -> None:
        self._folder = folder
        self._count = photographs.count
        self._photographs = folder / "photographs"
        self._photographs.mkdir()
        self._archive = folder / "photographs.tar"
        self._paths = write_photographs(self._photographs, photographs)
        write_archive(self._archive, self._paths)
        self.limit()  # starts the server of forks, which the service has by then

    def ours(self) -> float:
        """What an import does between the archive and the upload of its shards."""
        with self._scratch() as scratch:
            ours, theirs = _FORKS.Pipe(duplex=False)
            task = theirs, self._archive, scratch, PROCESSES
            child = _FORKS.Process(target=import_work.import_archive, args=task)
            started = time.perf_counter()
            child.start()
            imported_count = ours.recv()
            speed = self._count / (time.perf_counter() - started)
            child.join()
            assert imported_count == self._count
        return speed

    def peer(self) -> float:
        """`datasets` as its documentation shows it, with as many processes as we take."""
        with self._scratch() as scratch:
            started = time.perf_counter()
            photographs = datasets.load_dataset(
                "imagefolder",
                data_dir=str(self._photographs),
                split="train",
                cache_dir=str(scratch / "cache"),
            )
            decoded = photographs.map(_decode, num_proc=PROCESSES)
            embedded = decoded.with_format("arrow").map(embed_table_storage, batched=True, num_proc=PROCESSES)
            embedded.to_parquet(scratch / "train.parquet")
            speed = self._count / (time.perf_counter() - started)
            assert len(embedded) == self._count
        return speed

    def limit(self) -> float:
        """Reads and decodes every file, and keeps nothing."""
        started = time.perf_counter()
        with _FORKS.Pool(PROCESSES) as pool:
            pool.map(import_work.decode, self._paths, _CHUNK)
        return self._count / (time.perf_counter() - started)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        scratch = self._folder / "scratch"
        scratch.mkdir()
        yield scratch
        shutil.rmtree(scratch)


def _decode(row: dict[str, Any]) -> dict[str, bytes]:
    """Decodes fully and makes the thumbnail that we make."""
    image = row["image"]
    image.load()
    factor = -(-max(image.size) // _THUMBNAIL_SIDE)
    thumbnail = io.BytesIO()
    image.reduce(factor).save(thumbnail, "JPEG", quality=_THUMBNAIL_QUALITY)
    return {"thumbnail": thumbnail.getvalue()}


def write_photographs(folder: Path, photographs: Photographs) -> list[Path]:
    """Random crops of real photographs, all the same in each run, and their metadata."""
    drawn = np.random.default_rng(0)
    originals = [Image.open(path).convert("RGB") for path in _originals()]
    paths = [folder / f"{number:05d}.jpg" for number in range(photographs.count)]
    for number, path in enumerate(paths):
        _crop(originals[number % len(originals)], photographs, drawn).save(path, quality=QUALITY)
    lines = [
        json.dumps({"file_name": path.name, "question": _QUESTION, "answer": path.stem}) for path in paths
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return paths


def _originals() -> Iterator[Path]:
    yield from (Path(skimage.__file__).parent / "data" / name for name in _SCIKIT_IMAGE)
    yield from (Path(sklearn.datasets.__file__).parent / "images" / name for name in _SCIKIT_LEARN)


def _crop(original: Image.Image, wanted: Photographs, drawn: np.random.Generator) -> Image.Image:
    """A part of the picture, at least half as wide as it can be, resized."""
    aspect = wanted.width_px / wanted.height_px
    width = min(original.width, original.height * aspect) * drawn.uniform(0.5, 1.0)
    height = width / aspect
    left = drawn.uniform(0, original.width - width)
    top = drawn.uniform(0, original.height - height)
    return original.resize(
        (wanted.width_px, wanted.height_px), Image.Resampling.BICUBIC, (left, top, left + width, top + height)
    )


def write_archive(path: Path, photographs: list[Path]) -> None:
    """The same as a llava dataset: records first, then images."""
    records = [
        {
            "id": photograph.stem,
            "image": f"images/{photograph.name}",
            "conversations": [
                {"from": "human", "value": f"<image>\n{_QUESTION}"},
                {"from": "gpt", "value": photograph.stem},
            ],
        }
        for photograph in photographs
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    with tarfile.open(path, "w") as archive:
        _add(archive, "train.jsonl", lines)
        for photograph in photographs:
            _add(archive, f"images/{photograph.name}", photograph.read_bytes())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    archive.addfile(header, io.BytesIO(data))
