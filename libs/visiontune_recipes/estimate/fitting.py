"""Choices that follow from the machine and the data: batch size, longest example, precision. Pure.

They are made when a job is created and stored with it, so that the spec's digest names their outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visiontune_recipes.estimate.work import Work
from visiontune_recipes.families import Family
from visiontune_recipes.spec import Hyperparameters, Precision, Spec

# Room for what bytes do not tell of tokens: of the longest example, and the numbers that are chosen.
_LENGTH_ROOM, _LENGTH_STEP = 2, 1024
_TARGETS = "adaptation.lora.target_modules"
_WHOLE_MODEL = "Usual for models of this size with this method."
_BY_DEFAULT = "The default."
# By the field, else by what it stands in.
_WHY: Mapping[str, str] = {
    "base_model.hub.revision": "The branch that repositories begin with; a commit would fix it.",
    "adaptation.method": "A preset trains whole; adapters suffice for all else.",
    "adaptation.quantisation": "The one that QLoRA was made with.",
    "hyperparameters": _WHOLE_MODEL,
    "hyperparameters.seed": _BY_DEFAULT,
    "hyperparameters.precision": "float32 on processors, else bfloat16.",
    "evaluation.every_steps": "Once an epoch.",
    "evaluation.max_new_tokens": _WHOLE_MODEL,
    "checkpointing.every_steps": "Once an epoch.",
    "objective": "The version has pairs of answers.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A field that was left open, what it became, and why. value: as in JSON."""

    field: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """One accelerator that a job asks for."""

    name: str
    memory_bytes: int | None  # None: the operator did not say
    has_bf16: bool = True


def fitted(
    asked: Spec, resolved: Spec, work: Work | None, place: Place | None
) -> tuple[Spec, dict[str, str]]:
    """The spec as asked, with what follows from data and accelerator filled in; and why, by field.

    resolved: `asked` without that. work: None where sizes are unknown; then precision alone is chosen.
    """
    numbers: dict[str, Any] = {}
    why: dict[str, str] = {}
    if place and not place.has_bf16 and asked.hyperparameters.precision is None:
        numbers["precision"] = Precision.FP16
        why["precision"] = f"{place.name} has no bfloat16."
    if work and asked.hyperparameters.max_length is None:
        longest = _longest(work, resolved.hyperparameters.max_length or 0)
        if longest:
            numbers["max_length"] = longest
            why["max_length"] = f"The longest example has about {work.tokens(longest).max:,} tokens."
    tried = _with(resolved, numbers)
    if work and place and place.memory_bytes and asked.hyperparameters.batch_size is None:
        batch, times = _batch(asked.hyperparameters, tried, work, place.memory_bytes)
        if batch != tried.hyperparameters.batch_size:
            numbers |= {"batch_size": batch, "gradient_accumulation_steps": times}
            reason = f"So that the job fits {place.name}."
            why |= {"batch_size": reason, "gradient_accumulation_steps": reason}
    return _with(asked, numbers), {f"hyperparameters.{name}": reason for name, reason in why.items()}


def choices(
    asked: Spec, resolved: Spec, why: Mapping[str, str], family: Family | None = None
) -> list[Choice]:
    """All that `resolved` says and `asked` does not, in the order of the spec.

    family: of its base model; None where only the worker can tell.
    """
    given = dict(_fields(asked.to_dict()))
    why = {_TARGETS: _whose_layers(family), **why}
    return [
        Choice(field, value, why.get(field) or _reason(field))
        for field, value in _fields(resolved.to_dict())
        if field not in given
    ]


def _whose_layers(family: Family | None) -> str:
    """Which layers have adapters where a spec leaves it open."""
    if family is None:
        return "Those of the model's family, which the worker will know."
    return f"Those of the family {family.name} in parts with adapters."


def _with(spec: Spec, numbers: Mapping[str, Any]) -> Spec:
    return spec.model_copy(update={"hyperparameters": spec.hyperparameters.model_copy(update=dict(numbers))})


def _longest(work: Work, usual: int) -> int | None:
    """A length that no example has, as far as the model can read; None: the usual one does."""
    needed = _LENGTH_ROOM * work.tokens(2**30).max
    if needed <= usual:
        return None
    longest = -(-needed // _LENGTH_STEP) * _LENGTH_STEP
    most = work.sizes.positions or longest
    return min(longest, most) if min(longest, most) > usual else None


def _batch(asked: Hyperparameters, spec: Spec, work: Work, memory_bytes: int) -> tuple[int, int]:
    """Batch size and accumulation of the same step with which the job fits; 1 where nothing does.

    Accumulation that was asked for stays.
    """
    batch = spec.hyperparameters.batch_size or 1
    times = spec.hyperparameters.gradient_accumulation_steps or 1
    while batch > 1:
        tried = _with(spec, {"batch_size": batch, "gradient_accumulation_steps": times})
        if work.memory(tried, on_gpu=True).peak <= memory_bytes:
            break
        batch //= 2
        times *= 1 if asked.gradient_accumulation_steps else 2
    return batch, times


def _fields(told: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """The leaves of nested fields with their paths."""
    found: list[tuple[str, Any]] = []
    for name, value in told.items():
        inside = isinstance(value, dict)
        found += _fields(value, f"{path}{name}.") if inside else [(f"{path}{name}", value)]
    return found


def _reason(field: str) -> str:
    return _WHY.get(field) or _WHY.get(field.partition(".")[0], _BY_DEFAULT)
