"""The dataset service, over gRPC."""

from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.dataset.v1.dataset_pb2_grpc import DatasetServiceStub
from visiontune_recipes.facts import DatasetFacts, Kind, Lengths, Sense, SenseCount, Span

from visiontune_trainer.ports import DatasetVersion, Manifest

_SEEN = "split = train OR split = validation"
_PREFIX = "EXAMPLE_KIND_"
_SENSE_PREFIX = "SENSE_"


class DatasetClient:
    """Implements `ports.Datasets`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DatasetServiceStub(channel)

    async def get_version(self, name: str) -> DatasetVersion:
        """Asks GetVersion, and GetStatistics about the texts."""
        version = await self._stub.GetVersion(pb.GetVersionRequest(name=name))
        kinds = frozenset(Kind(pb.ExampleKind.Name(kind).removeprefix(_PREFIX)) for kind in version.kinds)
        numbers = await self._stub.GetStatistics(pb.GetStatisticsRequest(name=f"{name}/statistics"))
        senses = _senses(numbers.text_senses) if numbers.HasField("text_senses") else None
        most_messages = int(numbers.messages_per_example.max)
        facts = DatasetFacts(kinds, dict(version.split_counts), senses, most_messages, lengths_of(numbers))
        return DatasetVersion(version.digest, facts)

    async def largest_rows(self, name: str, most: int) -> list[int]:
        """Asks ListExamples, once for each order."""
        rows: list[int] = []
        for order in ("text_bytes desc", "image_pixels desc"):
            found = await self._stub.ListExamples(
                pb.ListExamplesRequest(parent=name, filter=_SEEN, order_by=order, page_size=most)
            )
            rows += [int(each.name.rpartition("/")[2]) for each in found.examples]
        return list(dict.fromkeys(rows))

    async def read_manifest(self, name: str, ttl: timedelta) -> Manifest:
        """Asks GetReadManifest."""
        lasting = Duration()
        lasting.FromTimedelta(ttl)
        manifest = await self._stub.GetReadManifest(pb.GetReadManifestRequest(name=name, ttl=lasting))
        return Manifest(manifest.SerializeToString())


def lengths_of(numbers: pb.Statistics) -> Lengths | None:
    """How long the examples are; None for versions whose tokens were not counted."""
    if not numbers.token_count.count:
        return None
    return Lengths(
        text_tokens=_span(numbers.token_count),
        answer_tokens=_span(numbers.answer_token_count) if numbers.answer_token_count.count else None,
        images=_span(numbers.images_per_example),
        width_px=_span(numbers.width_px),
        height_px=_span(numbers.height_px),
    )


def _span(found: pb.Distribution) -> Span:
    return Span(mean=found.mean, median=found.median, p95=_upper(found, 0.95), max=found.max)


def _upper(found: pb.Distribution, share: float) -> float:
    """Upper edge of the bin up to which at least a share of all values lie."""
    seen = 0
    for bar in found.histogram:
        seen += bar.count
        if seen >= share * found.count:
            return min(bar.upper, found.max)
    return found.max


def _senses(found: pb.TextSenses) -> dict[Sense, SenseCount]:
    return {
        Sense(pb.TextSense.Sense.Name(each.sense).removeprefix(_SENSE_PREFIX)): SenseCount(
            each.example_count, tuple(word.label for word in each.words)
        )
        for each in found.senses
    }
