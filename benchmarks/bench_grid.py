"""Seconds until a page of the grid is there: 50 thumbnails from anywhere in 10,000 examples, against a limit.

The dataset service is the real program, its shards lie on a real S3 server; a page is one GetThumbnails over
gRPC, asked for after the one before has come, so that no two overlap. Where a page begins is drawn. The rows
of a filter's page are a hundred apart: each is in another row group.
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from visiontune.dataset.v1 import dataset_pb2 as pb

from benchmarks.result import Result
from tests.support import pictures
from tests.support.dataset import DatasetHandle, program_beside, version_of
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage

SEED = 7
IMAGES, PAGE, PAGES = 10_000, 50, 200
LIMIT_S = 0.1
IMPORT_WITHIN_S = 400.0


def measure() -> list[Result]:
    """Two lines, the median page each: without a filter, and with one."""
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as name:
        folder = Path(name)
        pictures.build(folder / "many.tar", IMAGES)
        store = SeaweedFS(folder / "s3")
        store.start()
        try:
            plain, scattered = asyncio.run(_pages(folder, store))
        finally:
            store.stop()
    return [
        _result(f"{PAGE} thumbnails from anywhere in {IMAGES:,} examples", plain),
        _result(
            f"{PAGE} thumbnails of a filter, each of another row group of {IMAGES:,} examples", scattered
        ),
    ]


def _result(what: str, seconds: list[float]) -> Result:
    median = statistics.median(seconds)
    slow = statistics.quantiles(seconds, n=20)[-1]
    print(
        f"  {what}: {PAGES} pages, the first {seconds[0] * 1000:.0f} ms, median {median * 1000:.0f} ms, "
        f"95 % within {slow * 1000:.0f} ms",
        flush=True,
    )
    return Result(f"{what}, median, against the limit", "s", median, LIMIT_S, aim=1.0, less_is_better=True)


async def _pages(folder: Path, store: SeaweedFS) -> tuple[list[float], list[float]]:
    async with running_storage(store, folder) as storage, program_beside(storage, folder) as (_, service):
        content = await asyncio.to_thread((folder / "many.tar").read_bytes)
        operation = await service.start_bytes(await service.create("many"), content, "many.tar")
        version = version_of(await service.ended(operation, IMPORT_WITHIN_S))
        draw = random.Random(SEED)  # noqa: S311 - positions
        scattered = [
            await _page(service, version, draw.randrange(PAGE - 1), f'answer:"{draw.randrange(100):02}."')
            for _ in range(PAGES)
        ]
        plain = [
            await _page(service, version, draw.randrange(version.example_count - PAGE + 1))
            for _ in range(PAGES)
        ]
        return plain, scattered


async def _page(service: DatasetHandle, version: pb.DatasetVersion, start: int, filter_: str = "") -> float:
    began = time.perf_counter()
    request = pb.GetThumbnailsRequest(parent=version.name, start=start, count=PAGE, filter=filter_)
    answer = await service.call("GetThumbnails", request)
    took = time.perf_counter() - began
    if len(answer.thumbnails) != PAGE or not all(each.data for each in answer.thumbnails):
        raise RuntimeError(f"the page from {start} is not whole")
    return took
