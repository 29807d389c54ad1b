"""What the trainer hands over when an attempt is claimed, as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.json_format import MessageToDict
from pydantic import TypeAdapter, ValidationError
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.spec import Base, Spec

from visiontune_worker.faults import ConfigurationFault


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a signed URL. `path` is relative to its folder, with `/`."""

    path: str
    sha256: str
    size_bytes: int
    url: str


@dataclass(frozen=True, slots=True)
class RemoteShard:
    """A shard behind a signed URL."""

    index: int
    sha256: str
    size_bytes: int
    rows: int
    split_counts: Mapping[str, int]
    url: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A dataset version with signed URLs, good until `expires_at`."""

    version: str
    digest: str
    shards: Sequence[RemoteShard]
    facts: DatasetFacts
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModelLayer:
    """Files of a registered model: a whole one, or an adapter on top of the layers before."""

    name: str
    is_adapter: bool
    files: Sequence[RemoteFile]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model says about a held-out example."""

    example: str
    prompt: str
    expected: str
    before: str
    after: str
    after_step: int


@dataclass(frozen=True, slots=True)
class Claim:
    """All that is needed to run an attempt."""

    training_job: str
    attempt_number: int
    spec: Spec
    spec_digest: str
    manifest: Manifest
    resume_step: int = 0
    resume_files: Sequence[RemoteFile] = ()
    best_step: int | None = None  # of the best evaluation, as the checkpoint above knew it
    best_files: Sequence[RemoteFile] = ()  # of that one's checkpoint
    layers: Sequence[ModelLayer] = ()
    adapter_base: Base | None = None  # what the first of layers sits on, when it is an adapter
    samples: Sequence[Sample] = ()
    metrics_before: Mapping[str, float] = field(default_factory=dict)
    heartbeat_interval_s: float = 10.0


# As JSON, for the other ranks of the attempt.
CLAIM = TypeAdapter(Claim)
MANIFEST = TypeAdapter(Manifest)


def claim_from(message: worker_pb2.ClaimAttemptResponse) -> Claim:
    """A claim from its message, its base model at the commit that an earlier attempt loaded.

    ConfigurationFault when the spec is not one that this worker knows.
    """
    return Claim(
        training_job=message.training_job,
        attempt_number=message.attempt_number,
        spec=spec_from(message.spec).at(message.base_revision),
        spec_digest=message.spec_digest,
        manifest=manifest_from(message.manifest),
        resume_step=message.resume_from.step,
        resume_files=files_from(message.resume_from.files),
        best_step=message.best.step if message.HasField("best") else None,
        best_files=files_from(message.best.files),
        layers=layers_from(message.model_files),
        adapter_base=base_from(message.adapter_base) if message.HasField("adapter_base") else None,
        samples=[sample_from(each) for each in message.samples],
        metrics_before=dict(message.metrics_before),
        heartbeat_interval_s=message.heartbeat_interval_s or 10.0,
    )


def spec_from(message: trainer_pb2.TrainingJobSpec) -> Spec:
    """A spec from its message. ConfigurationFault when it is not one that this worker knows."""
    try:
        return Spec.model_validate(MessageToDict(message, preserving_proto_field_name=True))
    except ValidationError as error:
        raise ConfigurationFault(
            "SPEC_NOT_UNDERSTOOD", f"This worker cannot read the spec: {error}"
        ) from error


def files_from(messages: Sequence[trainer_pb2.ArtifactFile]) -> list[RemoteFile]:
    """Files from their messages."""
    return [RemoteFile(each.path, each.sha256, each.size_bytes, each.url) for each in messages]


def layers_from(messages: Iterable[worker_pb2.ModelFiles]) -> list[ModelLayer]:
    """Files of registered models from their messages."""
    return [ModelLayer(each.model, each.is_adapter, files_from(each.files)) for each in messages]


def base_from(message: trainer_pb2.BaseModel) -> Base:
    """A base model from its message."""
    return Base.model_validate(MessageToDict(message, preserving_proto_field_name=True))


def manifest_from(message: dataset_pb2.ReadManifest) -> Manifest:
    """A manifest from its message."""
    names = {number: name.removeprefix("EXAMPLE_KIND_") for name, number in dataset_pb2.ExampleKind.items()}
    kinds = frozenset(Kind(names[kind]) for kind in message.kinds if names[kind] in Kind.__members__)
    return Manifest(
        version=message.version,
        digest=message.digest,
        shards=[
            RemoteShard(
                each.index, each.sha256, each.size_bytes, each.row_count, dict(each.split_counts), each.url
            )
            for each in message.shards
        ],
        facts=DatasetFacts(kinds, dict(message.split_counts)),
    )


def sample_from(message: trainer_pb2.Sample) -> Sample:
    """A sample from its message."""
    return Sample(
        message.example, message.prompt, message.expected, message.before, message.after, message.after_step
    )


def sample_to(sample: Sample) -> trainer_pb2.Sample:
    """The message of a sample."""
    return trainer_pb2.Sample(
        example=sample.example,
        prompt=sample.prompt,
        expected=sample.expected,
        before=sample.before,
        after=sample.after,
        after_step=sample.after_step,
    )
