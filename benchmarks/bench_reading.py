"""Reading for training, images/s: the worker over signed URLs, against `datasets` streaming over the same.

Both run in one process with an empty disk, as at the start of an epoch: fetch, read every example in order,
decode every picture to RGB. The limit decodes the same bytes with Pillow, from memory, and does nothing else.
"""

import io
import statistics
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import datasets
from PIL import Image
from visiontune_data import pictures
from visiontune_data.ingest import Options, ingest
from visiontune_data.limits import MIB
from visiontune_data.local import LocalSource
from visiontune_data.version import Version
from visiontune_recipes.facts import DatasetFacts
from visiontune_worker.claim import Manifest, RemoteShard
from visiontune_worker.shards import Shards
from visiontune_worker.transfer import Transfer

from benchmarks.bench_import import Photographs, write_archive, write_photographs
from benchmarks.result import Result, Took, now
from tests.support.s3 import SeaweedFS

SMALL, LARGE = Photographs(2_000, 512, 384), Photographs(200, 2048, 1536)
SHARD_BYTES = 32 * MIB  # a few shards, so that fetching and decoding overlap as with a large version
ROUNDS = 3
AIM_LIMIT = 0.9
AIM_PEER = 1.5


def measure() -> list[Result]:
    """Interleaved medians, for small photographs and for large ones."""
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as name:
        store = SeaweedFS(Path(name) / "s3")
        store.start()
        try:
            return [
                result
                for photographs in (SMALL, LARGE)
                for result in _measure(Path(name) / str(photographs), photographs, store)
            ]
        finally:
            store.stop()


def _measure(folder: Path, photographs: Photographs, store: SeaweedFS) -> list[Result]:
    (folder / "photographs").mkdir(parents=True)
    paths = write_photographs(folder / "photographs", photographs)
    manifest = _manifest(_version(folder, paths), folder / "shards", store)
    data = [path.read_bytes() for path in paths]
    kinds: dict[str, Callable[[], int]] = {
        "ours": lambda: _ours(manifest),
        "peer": lambda: _peer(manifest),
        "limit": lambda: _limit(data),
    }
    found: dict[str, list[Took]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, run in kinds.items():
            started = now()
            assert run() == photographs.count
            took = now().since(started)
            found[kind].append(took)
            print(f"  {kind}: {took.wall_s:.2f} s, {took.cpu_s:.2f} s of CPU", flush=True)
    wall, cpu = (
        [photographs.count / statistics.median(took[which] for took in found[kind]) for kind in kinds]
        for which in range(2)
    )
    share = f"reading {photographs}, as a share of decoding with Pillow"
    return [
        Result(f"reading {photographs}, against datasets streaming", "images/s", wall[0], wall[1], AIM_PEER),
        Result(share, "images/s", wall[0], wall[2], AIM_LIMIT),
        Result(share, "images/s of CPU", cpu[0], cpu[2], AIM_LIMIT),
    ]


def _version(folder: Path, paths: list[Path]) -> Version:
    write_archive(folder / "photographs.tar", paths)
    (folder / "shards").mkdir()
    options = Options(shard_bytes=SHARD_BYTES, validation_fraction=0)
    with (folder / "photographs.tar").open("rb") as archive:
        made = ingest(LocalSource(archive), "photographs.tar", folder / "shards", options).version
    assert made is not None
    return made


def _manifest(version: Version, folder: Path, store: SeaweedFS) -> Manifest:
    """Puts the shards into a bucket and signs URLs for them."""
    bucket, client, shards = store.make_bucket(), store.client(), []
    for shard in version.shards:
        file = shard.examples
        client.fput_object(bucket, file.path.name, str(folder / file.path.name))
        url = client.presigned_get_object(bucket, file.path.name, timedelta(hours=1))
        shards.append(
            RemoteShard(shard.index, file.sha256, file.size_bytes, shard.row_count, shard.split_counts, url)
        )
    return Manifest("v1", version.digest, shards, DatasetFacts(frozenset(), {}))


def _ours(manifest: Manifest) -> int:
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        shards = Shards(
            manifest,
            Path(scratch),
            Transfer(patience_s=10.0),
            limit_bytes=4 * SHARD_BYTES,
            renew=lambda: manifest,
        )
        for index, examples in enumerate(shards.counts("train")):
            shards.prefetch([index, index + 1][: len(manifest.shards) - index])
            for nth in range(examples):
                count += sum(
                    pictures.read(data).mode == "RGB" for data in shards.example("train", index, nth).images
                )
        shards.close()
    return count


def _peer(manifest: Manifest) -> int:
    """As its documentation shows it."""
    streamed = datasets.load_dataset(
        "parquet", data_files=[shard.url for shard in manifest.shards], split="train", streaming=True
    )
    return sum(image.convert("RGB").mode == "RGB" for row in streamed for image in row["images"])


def _limit(data: list[bytes]) -> int:
    return sum(Image.open(io.BytesIO(each)).convert("RGB").mode == "RGB" for each in data)
