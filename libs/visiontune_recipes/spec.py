"""What a training job is, as data: the shape of `visiontune.trainer.v1.TrainingJobSpec` without protobuf.

Field names and enum values are the proto's own JSON names, so
`Spec.model_validate(MessageToDict(message, preserving_proto_field_name=True))` reads a message and
`ParseDict(spec.to_dict(), TrainingJobSpec())` writes one.
None means unset; `resolve` fills what has to be set before a job starts.
"""

import hashlib
import json
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, model_validator

from visiontune_recipes.augmentation import Augmentation
from visiontune_recipes.message import Message, Unset

PARTS = ("vision_tower", "projector", "language_model")
VERSION_PATTERN = r"^projects/[^/]+/datasets/[^/]+/versions/[^/]+$"
MODEL_PATTERN = r"^projects/[^/]+/models/[^/]+$"
CHECKPOINT_PATTERN = r"^projects/[^/]+/trainingJobs/[^/]+(/checkpoints/step-[0-9]{1,19})?$"
DURATION_PATTERN = r"^\d+(\.\d{1,9})?s$"


class Method(StrEnum):
    """How weights change."""

    FULL = "METHOD_FULL"
    LORA = "METHOD_LORA"
    QLORA = "METHOD_QLORA"


class Part(StrEnum):
    """What happens to one part of a model. TRAIN: what the method does with it."""

    TRAIN = "PART_TRAIN"
    FREEZE = "PART_FREEZE"
    FULL = "PART_FULL"
    LORA = "PART_LORA"


class Quantisation(StrEnum):
    """How frozen weights are kept in few bits."""

    NF4 = "QUANTISATION_NF4"
    INT8 = "QUANTISATION_INT8"


class Schedule(StrEnum):
    """Shape of the learning rate after warm-up."""

    LINEAR = "SCHEDULE_LINEAR"
    COSINE = "SCHEDULE_COSINE"
    CONSTANT = "SCHEDULE_CONSTANT"


class Precision(StrEnum):
    """Number format of the forward and backward pass."""

    FP32 = "PRECISION_FP32"
    BF16 = "PRECISION_BF16"
    FP16 = "PRECISION_FP16"


class Optimiser(StrEnum):
    """What turns gradients into changes of the weights."""

    ADAMW = "OPTIMISER_ADAMW"
    ADAMW_8BIT = "OPTIMISER_ADAMW_8BIT"
    ADAFACTOR = "OPTIMISER_ADAFACTOR"


class Objective(StrEnum):
    """What a training minimises, where there is a choice."""

    CAUSAL_LM = "OBJECTIVE_CAUSAL_LM"
    PREFERENCE = "OBJECTIVE_PREFERENCE"


class Spot(StrEnum):
    """Whether a job runs on machines that can be taken away."""

    NEVER = "SPOT_NEVER"
    ONLY = "SPOT_ONLY"


class Batching(StrEnum):
    """How the examples of a pass are laid side by side."""

    PADDED = "BATCHING_PADDED"
    LENGTH_GROUPED = "BATCHING_LENGTH_GROUPED"
    PACKED = "BATCHING_PACKED"


class FeatureCache(StrEnum):
    """Whether what a frozen vision tower makes of an image is kept for the next epoch."""

    AUTO = "FEATURE_CACHE_AUTO"
    OFF = "FEATURE_CACHE_OFF"


class OnBadExample(StrEnum):
    """What happens when an example turns out to be unusable while training."""

    FAIL = "ON_BAD_EXAMPLE_FAIL"
    SKIP = "ON_BAD_EXAMPLE_SKIP"


class State(StrEnum):
    """Which state of a training becomes its result."""

    LAST = "STATE_LAST"
    BEST = "STATE_BEST"


class Sharding(StrEnum):
    """How weights are divided among processes that train together."""

    NONE = "SHARDING_NONE"
    FULL = "SHARDING_FULL"


class Hub(Message):
    """A repository on the Hugging Face Hub."""

    repo_id: str
    revision: str = ""


class Base(Message):
    """Where a training starts from: exactly one of these."""

    preset: str | None = None
    hub: Hub | None = None
    path: str | None = None
    model: str | None = Field(default=None, pattern=MODEL_PATTERN)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("preset", "hub", "path", "model") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of preset, hub, path and model must be set, not {len(given)}")
        return self

    def at(self, commit: str) -> Self:
        """The same at a commit of its repository; unchanged for other sources, and for an empty commit."""
        if self.hub is None or not commit:
            return self
        return self.model_copy(update={"hub": self.hub.model_copy(update={"revision": commit})})


class Lora(Message):
    """Settings of low-rank adapters."""

    rank: int | None = Field(default=None, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0, le=65536)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    target_modules: str = Field(default="", max_length=1000)
    # None where unset, resolved too, so that the digests of specs without them stay what they were. So are
    # the switches of Adaptation and Hyperparameters that came later.
    use_rslora: bool | None = None
    use_dora: bool | None = None
    train_embeddings: bool | None = None


class Adaptation(Message):
    """Which weights change, and how."""

    method: Unset[Method] = None
    lora: Lora | None = None
    vision_tower: Unset[Part] = None
    projector: Unset[Part] = None
    language_model: Unset[Part] = None
    quantisation: Unset[Quantisation] = None
    continue_adapter: bool | None = None

    @property
    def by_adapter(self) -> bool:
        """True when the result is an adapter, which sits on the weights that the training started from."""
        return self.method in {Method.LORA, Method.QLORA}

    def trains(self) -> frozenset[str]:
        """Names of the parts that change."""
        return self.whole() | self.adapted()

    def whole(self) -> frozenset[str]:
        """Names of the parts of which the weights themselves change."""
        return frozenset(part for part in PARTS if self._way(part) is Part.FULL)

    def adapted(self) -> frozenset[str]:
        """Names of the parts beside which low-rank adapters change."""
        return frozenset(part for part in PARTS if self._way(part) is Part.LORA)

    def _way(self, part: str) -> Part | None:
        asked: Part | None = getattr(self, part)
        if asked is Part.TRAIN:
            return Part.LORA if self.by_adapter and part != "projector" else Part.FULL
        return asked


class PartLearningRates(Message):
    """Highest learning rates of parts, where they differ from the job's."""

    vision_tower: float | None = Field(default=None, gt=0, le=1)
    projector: float | None = Field(default=None, gt=0, le=1)
    language_model: float | None = Field(default=None, gt=0, le=1)


class Hyperparameters(Message):
    """Numbers of the optimisation."""

    epochs: float | None = Field(default=None, gt=0, le=10_000)
    max_steps: int | None = Field(default=None, ge=1, le=100_000_000)
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    gradient_accumulation_steps: int | None = Field(default=None, ge=1, le=4096)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    schedule: Unset[Schedule] = None
    warmup_ratio: float | None = Field(default=None, ge=0, lt=1)
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    max_grad_norm: float | None = Field(default=None, gt=0)
    seed: int | None = Field(default=None, ge=0, le=2**32 - 1)
    max_length: int | None = Field(default=None, ge=8, le=1_048_576)
    precision: Unset[Precision] = None
    # None where unset, resolved too: the family's first.
    losses: tuple[str, ...] | None = Field(default=None, max_length=10)
    learning_rates: PartLearningRates | None = None
    optimiser: Unset[Optimiser] = None
    gradient_checkpointing: bool | None = None

    def rate_of(self, part: str | None) -> float:
        """Highest learning rate of a part; None: of what belongs to none."""
        own = getattr(self.learning_rates, part or "", None)
        return float(own or self.learning_rate or 0.0)


class EarlyStopping(Message):
    """When a training ends before its last step."""

    patience: int | None = Field(default=None, ge=1, le=1000)
    min_delta: float | None = Field(default=None, ge=0, le=1_000_000)


class Evaluation(Message):
    """How the model is measured. `max_examples` stays None for all of them."""

    every_steps: int | None = Field(default=None, ge=1)
    max_examples: int | None = Field(default=None, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1, le=4096)
    sample_count: int | None = Field(default=None, ge=0, le=64)
    # None where unset, resolved too, so that the digests of specs without them stay what they were.
    metrics: tuple[str, ...] | None = Field(default=None, max_length=20)
    best_metric: str | None = Field(default=None, max_length=63)
    early_stopping: EarlyStopping | None = None

    @property
    def judged_by(self) -> str:
        """The measure by which one evaluation is better than another."""
        return self.best_metric or "loss"


class Checkpointing(Message):
    """When the state is saved."""

    every_steps: int | None = Field(default=None, ge=1)
    keep: int | None = Field(default=None, ge=1, le=100)


class Loading(Message):
    """How examples reach the model; what is None is padded, kept where possible, and fails."""

    batching: Unset[Batching] = None
    feature_cache: Unset[FeatureCache] = None
    on_bad_example: Unset[OnBadExample] = None


class Resources(Message):
    """Where a job runs. `max_duration` is a protobuf JSON duration, for example `3600s`."""

    accelerator: str = Field(default="", max_length=63)
    accelerator_count: int = Field(default=0, ge=0, le=64)
    max_attempts: int | None = Field(default=None, ge=1, le=100)
    max_duration: str | None = Field(default=None, pattern=DURATION_PATTERN)
    # None where unset, resolved too, so that the digests of specs without them stay what they were.
    nodes: int | None = Field(default=None, ge=1, le=512)
    spot: Unset[Spot] = None
    queue: str | None = Field(default=None, max_length=63)
    priority: str | None = Field(default=None, max_length=63)
    sharding: Unset[Sharding] = None

    @property
    def node_count(self) -> int:
        """Machines that train together."""
        return self.nodes or 1

    @property
    def is_sharded(self) -> bool:
        """True when each process has a part of the weights."""
        return self.sharding is Sharding.FULL

    @property
    def is_spot(self) -> bool:
        """True when it runs on spot machines."""
        return self.spot is Spot.ONLY


class ResumeFrom(Message):
    """The state that a training goes on from; `step` and `data_start_step` are None until resolved."""

    checkpoint: str = Field(pattern=CHECKPOINT_PATTERN)
    step: int | None = Field(default=None, ge=0)
    data_start_step: int | None = Field(default=None, ge=0)


class Preference(Message):
    """Settings of direct preference optimisation."""

    beta: float | None = Field(default=None, gt=0, le=100)
    label_smoothing: float | None = Field(default=None, ge=0, lt=0.5)


class Publish(Message):
    """What the result is: which state, and whether there is a whole model beside the adapter."""

    merged: bool | None = None
    state: Unset[State] = None


class Spec(Message):
    """A training job, as asked or resolved."""

    dataset_version: str = Field(pattern=VERSION_PATTERN)
    base_model: Base
    adaptation: Adaptation = Adaptation()
    hyperparameters: Hyperparameters = Hyperparameters()
    evaluation: Evaluation = Evaluation()
    checkpointing: Checkpointing = Checkpointing()
    resources: Resources = Resources()
    # None where there is none, resolved too, so that the digests of specs without it stay what they were.
    augmentation: Augmentation | None = None
    loading: Loading | None = None
    resume_from: ResumeFrom | None = None
    # None where the model's family leaves no choice, resolved too, likewise.
    objective: Unset[Objective] = None
    preference: Preference | None = None
    publish: Publish | None = None

    @property
    def publishes_merged(self) -> bool:
        """True when a whole model is published beside the adapter."""
        return self.publish is not None and bool(self.publish.merged)

    @property
    def first_step(self) -> int:
        """Optimiser steps that were done before the job."""
        return self.resume_from.step or 0 if self.resume_from else 0

    @property
    def data_start_step(self) -> int:
        """Step at which the passes over the job's data began."""
        return self.resume_from.data_start_step or 0 if self.resume_from else 0

    @property
    def asked_batching(self) -> Batching | None:
        """How the examples of a pass are to be laid side by side; None when the worker chooses."""
        return self.loading.batching if self.loading else None

    @property
    def batching(self) -> Batching:
        """The same; padded when the worker chooses, which all can and packing is never."""
        return self.asked_batching or Batching.PADDED

    @property
    def keeps_features(self) -> bool:
        """True unless the features of a frozen tower are not to be kept."""
        return self.loading is None or self.loading.feature_cache is not FeatureCache.OFF

    @property
    def skips_bad_examples(self) -> bool:
        """True when an unusable example is left out instead of ending the job."""
        return self.loading is not None and self.loading.on_bad_example is OnBadExample.SKIP

    @property
    def publishes_best(self) -> bool:
        """True when the state of the best evaluation becomes the result, rather than the last one."""
        chosen = self.publish.state if self.publish else None
        return chosen is State.BEST or (chosen is None and self.evaluation.early_stopping is not None)

    def at(self, commit: str) -> Self:
        """The same with its base model at a commit; see Base.at."""
        return self.model_copy(update={"base_model": self.base_model.at(commit)})

    def to_dict(self) -> dict[str, Any]:
        """The spec as proto JSON with snake-case names, without unset fields; what `ParseDict` takes."""
        return self.model_dump(mode="json", exclude_none=True)


def digest(spec: Spec) -> str:
    """`sha256:` and 64 hexadecimal digits over a spec's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(spec.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
