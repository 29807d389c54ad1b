"""The dataset service at its process border: the contract over a real socket, versions from a dict.

For tests of the trainer alone; the whole stack is tested in tests/system.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.dataset.v1 import dataset_pb2_grpc
from visiontune_kit import server
from visiontune_kit.errors import NotFound
from visiontune_kit.identity import Role
from visiontune_kit.settings import ServerSettings

NAME = "visiontune.dataset.v1.DatasetService"
KINDS = {
    "digits": pb.EXAMPLE_KIND_CHAT_WITH_IMAGES,
    "captions": pb.EXAMPLE_KIND_CAPTIONED_IMAGE,
    "talk": pb.EXAMPLE_KIND_CHAT,
    "pairs": pb.EXAMPLE_KIND_PREFERENCE,
}


class FakeDatasets(dataset_pb2_grpc.DatasetServiceServicer):
    """Knows version v1 of a few datasets in each project."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None  # while somebody asks
        self.splits: Mapping[str, int] = {"train": 64, "validation": 16}
        self.most_tokens = 40  # of a text, as the statistics tell
        self.largest: list[int] = []  # rows that ListExamples gives
        self.listings = 0
        url = "http://127.0.0.1:1/shard"
        self.shards = [pb.Shard(sha256="0" * 64, row_count=80, size_bytes=1, url=url)]

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.DatasetVersion:
        if self.meanwhile:
            await self.meanwhile()
        kind = self._kind(request.name)
        return pb.DatasetVersion(
            name=request.name, digest="sha256:" + "d" * 64, kinds=[kind], split_counts=self.splits
        )

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Any) -> pb.Statistics:
        reading = pb.TextSense(
            sense=pb.TextSense.SENSE_READING,
            example_count=80,
            words=[pb.LabelCount(label="digit", count=80)],
        )
        return pb.Statistics(
            name=request.name,
            text_senses=pb.TextSenses(senses=[reading]),
            messages_per_example=pb.Distribution(max=4),
            token_count=pb.Distribution(
                count=80,
                mean=12,
                median=10,
                max=self.most_tokens,
                histogram=[
                    pb.Bin(lower=0, upper=20, count=77),
                    pb.Bin(lower=20, upper=self.most_tokens, count=3),
                ],
            ),
            images_per_example=pb.Distribution(count=80, mean=1, median=1, max=1),
            width_px=pb.Distribution(count=80, mean=32, median=32, max=32),
            height_px=pb.Distribution(count=80, mean=32, median=32, max=32),
        )

    async def ListExamples(self, request: pb.ListExamplesRequest, context: Any) -> pb.ListExamplesResponse:
        self.listings += 1
        names = (f"{request.parent}/examples/{row}" for row in self.largest)
        return pb.ListExamplesResponse(examples=[pb.Example(name=name) for name in names])

    async def GetReadManifest(self, request: pb.GetReadManifestRequest, context: Any) -> pb.ReadManifest:
        kind = self._kind(request.name)
        return pb.ReadManifest(
            version=request.name, kinds=[kind], split_counts=self.splits, shards=self.shards
        )

    def _kind(self, name: str) -> pb.ExampleKind.ValueType:
        dataset = name.split("/")[3]
        if name in self.gone or not name.endswith("/versions/v1") or dataset not in KINDS:
            raise NotFound(f"{name} was not found.", resource=name)
        return KINDS[dataset]


@asynccontextmanager
async def running_datasets(issuers_file: Path, **settings: Any) -> AsyncIterator[tuple[FakeDatasets, str]]:
    """Serves inside the block; yields the stand-in and `host:port`. settings: fields of ServerSettings."""
    datasets = FakeDatasets()
    rpc = server.Rpc(NAME, dataset_pb2_grpc.add_DatasetServiceServicer_to_server, datasets)
    program = server.Program(
        name="dataset",
        settings=ServerSettings(issuers_file=issuers_file, stop_grace_s=0.5, **settings),
        rpcs=[rpc],
        access={
            f"/{NAME}/{method}": Role.VIEWER
            for method in ("GetVersion", "GetStatistics", "GetReadManifest", "ListExamples")
        },
    )
    async with server.running(program) as target:
        yield datasets, target
