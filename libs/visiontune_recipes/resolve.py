"""Makes every choice that a spec leaves open. Pure: the same request, facts and model give the same spec.

What is chosen is recorded in the resolved spec, so that a job can be repeated when these tables have changed.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from visiontune_recipes import augmentation
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import Family
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.spec import (
    PARTS,
    Adaptation,
    Base,
    EarlyStopping,
    Evaluation,
    Hub,
    Hyperparameters,
    Lora,
    Method,
    Objective,
    Part,
    Precision,
    Preference,
    Quantisation,
    Resources,
    Schedule,
    Spec,
)

# Below this many parameters a model is trained like a preset: high learning rates, many epochs.
SMALL_MODEL_PARAMETERS = 20_000_000
DEFAULT_SEED = 42
DEFAULT_REVISION = "main"
# Of the learning rates below, for preferences: the model is to move little, and pairs push it hard.
PREFERENCE_RATE = 0.1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Defaults:
    epochs: float
    batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    max_length: int
    max_new_tokens: int


# (small model, method) -> numbers. The small ones are measured on digits (docs/decisions/0003); those of
# large models are the usual ones of LLaVA 1.5 fine-tuning.
_DEFAULTS: dict[tuple[bool, Method], _Defaults] = {
    (True, Method.FULL): _Defaults(6.0, 32, 1, 2e-3, 0.1, 0.01, 2048, 32),
    (True, Method.LORA): _Defaults(5.0, 32, 1, 5e-3, 0.1, 0.0, 2048, 32),
    (True, Method.QLORA): _Defaults(5.0, 32, 1, 5e-3, 0.1, 0.0, 2048, 32),
    (False, Method.FULL): _Defaults(1.0, 4, 4, 2e-5, 0.03, 0.0, 4096, 128),
    (False, Method.LORA): _Defaults(3.0, 4, 4, 2e-4, 0.03, 0.0, 4096, 128),
    (False, Method.QLORA): _Defaults(3.0, 4, 4, 2e-4, 0.03, 0.0, 4096, 128),
}

# Vision tower, projector, language model: of a preset that is trained whole, and of all else.
_ALL_PARTS = (Part.TRAIN, Part.TRAIN, Part.TRAIN)
_PARTS = (Part.FREEZE, Part.TRAIN, Part.TRAIN)


def resolve(
    spec: Spec, facts: DatasetFacts, *, parameter_count: int = 0, family: Family | None = None
) -> Spec:
    """The spec with every open choice made; what is set stays as it is.

    parameter_count: of the base model, 0 when unknown (a preset's own is used). family: of the base model;
    None while nobody knows it: which layers have adapters then stays open, and the worker takes the family's.
    Resolving a resolved spec changes nothing.
    """
    preset = spec.base_model.preset is not None
    method = spec.adaptation.method or (Method.FULL if preset else Method.LORA)
    small = 0 < _parameter_count(spec.base_model, parameter_count) < SMALL_MODEL_PARAMETERS
    objective = _objective(spec, facts)
    defaults = _DEFAULTS[small, method]
    if objective is Objective.PREFERENCE:
        defaults = replace(defaults, epochs=1.0, learning_rate=PREFERENCE_RATE * defaults.learning_rate)
    hyperparameters = _hyperparameters(spec.hyperparameters, defaults, spec.resources)
    epoch_steps = steps_per_epoch(hyperparameters, facts)
    return spec.model_copy(
        update={
            "base_model": _base_model(spec.base_model),
            "adaptation": _adaptation(spec.adaptation, method, family, preset=preset),
            "hyperparameters": hyperparameters,
            "evaluation": _evaluation(spec.evaluation, defaults, epoch_steps),
            "checkpointing": spec.checkpointing.model_copy(
                update={
                    "every_steps": spec.checkpointing.every_steps or epoch_steps,
                    "keep": spec.checkpointing.keep or 2,
                }
            ),
            "resources": spec.resources.model_copy(
                update={"max_attempts": spec.resources.max_attempts or 5},
            ),
            "augmentation": augmentation.resolve(spec.augmentation),
            "objective": objective,
            "preference": _preference(spec.preference, objective),
        }
    )


def steps_per_epoch(hyperparameters: Hyperparameters, facts: DatasetFacts) -> int:
    """Optimiser steps in one pass over the training split, at least 1; the last may see fewer examples."""
    examples_per_step = (hyperparameters.batch_size or 1) * (hyperparameters.gradient_accumulation_steps or 1)
    return max(1, math.ceil(facts.train_count / examples_per_step))


def total_steps(spec: Spec, facts: DatasetFacts) -> int:
    """Optimiser steps that a resolved spec takes, those that were done before the job included."""
    passes = math.ceil((spec.hyperparameters.epochs or 1.0) * steps_per_epoch(spec.hyperparameters, facts))
    wanted = spec.data_start_step + passes
    return min(wanted, spec.hyperparameters.max_steps or wanted)


def evaluations_after(step: int, total_steps: int, every_steps: int) -> int:
    """Evaluations still to come after a step: one every so many steps, and one after the last."""
    if step >= total_steps:
        return 0
    return total_steps // every_steps - step // every_steps + (total_steps % every_steps > 0)


def _objective(spec: Spec, facts: DatasetFacts) -> Objective | None:
    return spec.objective or (Objective.PREFERENCE if Kind.PREFERENCE in facts.kinds else None)


def _preference(asked: Preference | None, objective: Objective | None) -> Preference | None:
    if objective is not Objective.PREFERENCE:
        return asked
    asked = asked or Preference()
    return Preference(beta=_chosen(asked.beta, 0.1), label_smoothing=_chosen(asked.label_smoothing, 0.0))


def _parameter_count(base: Base, given: int) -> int:
    preset = PRESETS.get(base.preset) if base.preset else None
    return preset.parameter_count if preset else given


def _base_model(base: Base) -> Base:
    if base.hub is None or base.hub.revision:
        return base
    return Base(hub=Hub(repo_id=base.hub.repo_id, revision=DEFAULT_REVISION))


def _adaptation(asked: Adaptation, method: Method, family: Family | None, *, preset: bool) -> Adaptation:
    quantised = Quantisation.NF4 if method is Method.QLORA else None
    chosen: dict[str, Any] = {"method": method, "quantisation": asked.quantisation or quantised}
    if asked.continue_adapter:  # What trains, and how, is what the adapter says.
        return asked.model_copy(update=chosen)
    if method is not Method.FULL:
        chosen["lora"] = resolve_lora(asked.lora)
    defaults = _ALL_PARTS if preset and method is Method.FULL else _PARTS
    chosen |= {part: getattr(asked, part) or default for part, default in zip(PARTS, defaults, strict=True)}
    return _with_targets(asked.model_copy(update=chosen), family)


def _with_targets(adaptation: Adaptation, family: Family | None) -> Adaptation:
    lora = adaptation.lora
    if lora is None or lora.target_modules or family is None or not adaptation.by_adapter:
        return adaptation
    named = lora.model_copy(update={"target_modules": family.own_targets(adaptation)})
    return adaptation.model_copy(update={"lora": named})


def resolve_lora(asked: Lora | None) -> Lora:
    """The settings of adapters with every choice made."""
    asked = asked or Lora()
    rank = asked.rank or 16
    alpha, dropout = _chosen(asked.alpha, 2.0 * rank), _chosen(asked.dropout, 0.0)
    return asked.model_copy(update={"rank": rank, "alpha": alpha, "dropout": dropout})


def _hyperparameters(asked: Hyperparameters, defaults: _Defaults, resources: Resources) -> Hyperparameters:
    return asked.model_copy(
        update={
            "epochs": _chosen(asked.epochs, defaults.epochs),
            "batch_size": _chosen(asked.batch_size, defaults.batch_size),
            "gradient_accumulation_steps": _chosen(
                asked.gradient_accumulation_steps,
                # A batch that was asked for is the whole batch, unless accumulation is asked for too.
                1 if asked.batch_size else defaults.gradient_accumulation_steps,
            ),
            "learning_rate": _chosen(asked.learning_rate, defaults.learning_rate),
            "schedule": asked.schedule or Schedule.LINEAR,
            "warmup_ratio": _chosen(asked.warmup_ratio, defaults.warmup_ratio),
            "weight_decay": _chosen(asked.weight_decay, defaults.weight_decay),
            "max_grad_norm": _chosen(asked.max_grad_norm, 1.0),
            "seed": _chosen(asked.seed, DEFAULT_SEED),
            "max_length": _chosen(asked.max_length, defaults.max_length),
            "precision": asked.precision
            or (Precision.BF16 if resources.accelerator_count else Precision.FP32),
        }
    )


def _evaluation(asked: Evaluation, defaults: _Defaults, epoch_steps: int) -> Evaluation:
    return asked.model_copy(
        update={
            "every_steps": _chosen(asked.every_steps, epoch_steps),
            "max_new_tokens": _chosen(asked.max_new_tokens, defaults.max_new_tokens),
            "sample_count": _chosen(asked.sample_count, 8),
            "early_stopping": _early_stopping(asked.early_stopping),
        }
    )


def _early_stopping(asked: EarlyStopping | None) -> EarlyStopping | None:
    if asked is None:
        return None
    return EarlyStopping(patience=_chosen(asked.patience, 3), min_delta=_chosen(asked.min_delta, 0.0))


def _chosen(asked: T | None, otherwise: T) -> T:
    return otherwise if asked is None else asked
