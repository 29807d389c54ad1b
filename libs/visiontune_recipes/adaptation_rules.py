"""What is wrong with the way in which a resolved spec changes a model: one function a rule, nothing raised.

The trainer asks before a job is accepted, the worker again once it has read the family of a model that came
from elsewhere. Each remedy names the nearest that works.
"""

import re
from collections.abc import Callable, Iterator

from visiontune_recipes.families import Family
from visiontune_recipes.problem import Problem
from visiontune_recipes.spec import PARTS, Method, Optimiser, Precision, Spec

# Every linear layer of the parts that have adapters; what peft calls so, too.
ALL_LINEAR = "all-linear"


def problems(spec: Spec, family: Family | None) -> Iterator[Problem]:
    """All problems of a resolved spec. family: of its base model, None while nobody has read it."""
    for rule in RULES:
        yield from rule(spec, family)


def _lora_with_full(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.adaptation.lora is not None and spec.adaptation.method is Method.FULL:
        yield Problem(
            "adaptation.lora",
            "lora_with_full",
            "LoRA settings have no meaning when the weights themselves are trained.",
            "Remove adaptation.lora, or set adaptation.method to METHOD_LORA.",
        )


def _adapted_part_with_full(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.adaptation.method is Method.FULL:
        for part in sorted(spec.adaptation.adapted()):
            yield Problem(
                f"adaptation.{part}",
                "adapted_part_with_full",
                f"METHOD_FULL makes no adapters, so {part} cannot have any.",
                f"Set adaptation.{part} to PART_FULL, or adaptation.method to METHOD_LORA.",
            )


def _adapter_without_base(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.base_model.preset is not None and spec.adaptation.by_adapter:
        yield Problem(
            "adaptation.method",
            "adapter_without_base",
            "A preset's weights are random and exist nowhere else, so an adapter for it could not be loaded.",
            "Use METHOD_FULL, or train the preset first, register the result and start from that model.",
        )


def _method_not_offered(spec: Spec, family: Family | None) -> Iterator[Problem]:
    method = spec.adaptation.method
    if family is not None and method not in family.methods:
        yield Problem(
            "adaptation.method",
            "method_not_offered",
            f'The family "{family.name}" does not offer {method}.',
            f"Use one of: {', '.join(family.methods)}.",
        )


def _adapters_not_offered(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if family is None or not spec.adaptation.by_adapter or not family.chooses_targets(spec.adaptation):
        return
    for part in sorted(spec.adaptation.adapted()):
        if not getattr(family.lora, part):
            yield Problem(
                f"adaptation.{part}",
                "adapters_not_offered",
                f'The family "{family.name}" has no place for adapters in its {part}.',
                f"Set adaptation.{part} to PART_FULL or PART_FREEZE.",
            )


def _bad_target_modules(spec: Spec, family: Family | None) -> Iterator[Problem]:
    lora = spec.adaptation.lora
    if lora is None or not lora.target_modules:
        return
    try:
        re.compile(lora.target_modules)
    except re.error as error:
        yield Problem(
            "adaptation.lora.target_modules",
            "bad_target_modules",
            f"Not a regular expression: {error}.",
            f"Give one that matches whole module names, or {ALL_LINEAR}; empty means the family's own.",
        )


def _everything_frozen(spec: Spec, family: Family | None) -> Iterator[Problem]:
    names = _parts_of(family)
    if not spec.adaptation.trains() & names and not spec.adaptation.continue_adapter:
        yield Problem(
            "adaptation",
            "everything_frozen",
            "All parts of the model are frozen, so there is nothing to train.",
            f"Set {' or '.join(part for part in PARTS if part in names)} to PART_TRAIN.",
        )


def _nothing_to_adapt(spec: Spec, family: Family | None) -> Iterator[Problem]:
    adaptation, names = spec.adaptation, _parts_of(family)
    whole = adaptation.whole() & names
    if adaptation.by_adapter and whole and not adaptation.adapted() & names:
        yield Problem(
            "adaptation",
            "nothing_to_adapt",
            f"All that trains ({', '.join(sorted(whole))}) trains whole: adapters have nothing to sit on.",
            "Set language_model to PART_TRAIN, or adaptation.method to METHOD_FULL.",
        )


def _embeddings_not_adapted(spec: Spec, family: Family | None) -> Iterator[Problem]:
    lora = spec.adaptation.lora
    if lora is None or not lora.train_embeddings:
        return
    if family is not None and family.objective != "causal_lm":
        yield Problem(
            "adaptation.lora.train_embeddings",
            "embeddings_not_adapted",
            f'The family "{family.name}" makes no tokens, so it has no embeddings and head to train.',
            "Leave train_embeddings out.",
        )
    if "language_model" not in spec.adaptation.adapted():
        yield Problem(
            "adaptation.lora.train_embeddings",
            "embeddings_not_adapted",
            "Embeddings train beside the adapters of the language model, and it has none.",
            "Set adaptation.language_model to PART_LORA, or leave train_embeddings out.",
        )


def _quantisation_without_qlora(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.adaptation.quantisation is not None and spec.adaptation.method is not Method.QLORA:
        yield Problem(
            "adaptation.quantisation",
            "quantisation_without_qlora",
            f"{spec.adaptation.method} keeps weights as they are.",
            "Set adaptation.method to METHOD_QLORA, or leave quantisation out.",
        )


def _qlora_needs_accelerator(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.adaptation.method is Method.QLORA and not spec.resources.accelerator_count:
        yield Problem(
            "adaptation.method",
            "qlora_needs_accelerator",
            "Weights of few bits can be trained beside on an accelerator only, and the job asks for none.",
            "Use METHOD_LORA, or set resources.accelerator_count to 1 or more.",
        )


def _fp16_needs_accelerator(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.hyperparameters.precision is Precision.FP16 and not spec.resources.accelerator_count:
        yield Problem(
            "hyperparameters.precision",
            "fp16_needs_accelerator",
            "Processors have no float16 arithmetic to speak of, and the job asks for no accelerator.",
            "Use PRECISION_BF16 or PRECISION_FP32, or set resources.accelerator_count to 1 or more.",
        )


def _adamw_8bit_needs_accelerator(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.hyperparameters.optimiser is Optimiser.ADAMW_8BIT and not spec.resources.accelerator_count:
        yield Problem(
            "hyperparameters.optimiser",
            "adamw_8bit_needs_accelerator",
            "Optimiser state of 8 bits works on an accelerator only, and the job asks for none.",
            "Use OPTIMISER_ADAFACTOR to save memory, or OPTIMISER_ADAMW.",
        )


def _rate_of_frozen_part(spec: Spec, family: Family | None) -> Iterator[Problem]:
    rates = spec.hyperparameters.learning_rates
    if rates is None or spec.adaptation.continue_adapter:
        return
    for part in PARTS:
        if getattr(rates, part) is not None and part not in spec.adaptation.trains():
            yield Problem(
                f"hyperparameters.learning_rates.{part}",
                "rate_of_frozen_part",
                f"The {part} is frozen and learns at no rate.",
                f"Leave it out, or set adaptation.{part} to PART_TRAIN.",
            )


def _nothing_to_continue(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if not spec.adaptation.continue_adapter:
        return
    if spec.base_model.model is None:
        yield Problem(
            "adaptation.continue_adapter",
            "nothing_to_continue",
            "Only a registered adapter can be trained further as the same adapter.",
            "Name one as base_model.model, or leave continue_adapter out.",
        )
    if not spec.adaptation.by_adapter:
        yield Problem(
            "adaptation.method",
            "nothing_to_continue",
            "METHOD_FULL trains no adapter, so it cannot go on with one.",
            "Use METHOD_LORA, or leave continue_adapter out: the adapter is then merged into its base.",
        )


def _continued_settings(spec: Spec, family: Family | None) -> Iterator[Problem]:
    adaptation = spec.adaptation
    if not adaptation.continue_adapter:
        return
    for name in ("lora", *PARTS):
        if getattr(adaptation, name) is not None:
            yield Problem(
                f"adaptation.{name}",
                "continued_settings",
                "What an adapter changes was decided when it was made, and stays so when it is continued.",
                f"Leave {name} out; or leave continue_adapter out, which merges the adapter and makes one.",
            )


def _nothing_to_merge(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.publishes_merged and spec.adaptation.method is Method.FULL:
        yield Problem(
            "publish.merged",
            "nothing_to_merge",
            "METHOD_FULL makes no adapter: its result is a whole model already.",
            "Leave publish.merged out, or set adaptation.method to METHOD_LORA.",
        )


def _few_bits_not_merged(spec: Spec, family: Family | None) -> Iterator[Problem]:
    if spec.publishes_merged and spec.adaptation.method is Method.QLORA:
        yield Problem(
            "publish.merged",
            "few_bits_not_merged",
            "Added to weights of few bits an adapter would be rounded away, and the whole weights are not "
            "what it was trained on.",
            "Use METHOD_LORA; or leave publish.merged out and load the adapter on top of its base.",
        )


def _parts_of(family: Family | None) -> frozenset[str]:
    """The parts that a model has; all while nobody knows."""
    return frozenset(family.parts.names if family else PARTS)


Rule = Callable[[Spec, Family | None], Iterator[Problem]]
RULES: tuple[Rule, ...] = (
    _lora_with_full,
    _adapted_part_with_full,
    _adapter_without_base,
    _method_not_offered,
    _adapters_not_offered,
    _bad_target_modules,
    _everything_frozen,
    _nothing_to_adapt,
    _embeddings_not_adapted,
    _quantisation_without_qlora,
    _qlora_needs_accelerator,
    _fp16_needs_accelerator,
    _adamw_8bit_needs_accelerator,
    _rate_of_frozen_part,
    _nothing_to_continue,
    _continued_settings,
    _nothing_to_merge,
    _few_bits_not_merged,
)

__all__ = ["ALL_LINEAR", "RULES", "problems"]
