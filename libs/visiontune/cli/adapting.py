"""Options of `visiontune train` that say which weights change, how, and what they go on from."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visiontune.client import Client
    from visiontune.trainer.v1 import trainer_pb2


class Method(StrEnum):
    """Which weights change; rslora and dora are kinds of lora."""

    FULL = "full"
    LORA = "lora"
    RSLORA = "rslora"
    DORA = "dora"
    QLORA = "qlora"


class Part(StrEnum):
    """What happens to one part of a model."""

    TRAIN = "train"
    FREEZE = "freeze"
    FULL = "full"
    LORA = "lora"


class Precision(StrEnum):
    """Number format of the passes."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Optimiser(StrEnum):
    """What turns gradients into changes of the weights."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw_8bit"
    ADAFACTOR = "adafactor"


# What is a switch of LoRA rather than a method of its own.
SWITCHES = {Method.RSLORA: "use_rslora", Method.DORA: "use_dora"}


def adapt(
    adaptation: "trainer_pb2.Adaptation",
    method: Method | None,
    rank: int | None,
    parts: dict[str, Part | None],
    continue_adapter: bool | None,
) -> None:
    """Flags win over the file."""
    from visiontune.trainer.v1 import trainer_pb2

    if method is not None:
        name = "LORA" if method in SWITCHES else method.name
        adaptation.method = trainer_pb2.Adaptation.Method.Value(f"METHOD_{name}")
        if method in SWITCHES:
            setattr(adaptation.lora, SWITCHES[method], True)
    if rank is not None:
        adaptation.lora.rank = rank
    for name, part in parts.items():
        if part is not None:
            setattr(adaptation, name, trainer_pb2.Adaptation.Part.Value(f"PART_{part.name}"))
    if continue_adapter is not None:
        adaptation.continue_adapter = continue_adapter


def optimise(
    numbers: "trainer_pb2.Hyperparameters",
    precision: Precision | None,
    optimiser: Optimiser | None,
    gradient_checkpointing: bool | None,
) -> None:
    """Flags win over the file."""
    from visiontune.trainer.v1 import trainer_pb2

    if precision is not None:
        numbers.precision = trainer_pb2.Hyperparameters.Precision.Value(f"PRECISION_{precision.name}")
    if optimiser is not None:
        numbers.optimiser = trainer_pb2.Hyperparameters.Optimiser.Value(f"OPTIMISER_{optimiser.name}")
    if gradient_checkpointing is not None:
        numbers.gradient_checkpointing = gradient_checkpointing


def resume(
    client: "Client", spec: "trainer_pb2.TrainingJobSpec", earlier: str, *, is_from_file: bool
) -> None:
    """Has the job go on from an earlier one, whose own choices hold unless a file makes others."""
    job = client.job_name(earlier)
    if not is_from_file:
        spec.CopyFrom(client.get_job(job.partition("/checkpoints/")[0]).resolved_spec)
    spec.resume_from.Clear()
    spec.resume_from.checkpoint = job
