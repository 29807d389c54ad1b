"""Builds what is trained: a base model, adapted as the spec asks."""

import random
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.spec import Base, Precision, Spec

from visiontune_worker import bases, ranks, template
from visiontune_worker.adapt import adapt, checkpoint_activations
from visiontune_worker.bases import Layer, Sources
from visiontune_worker.faults import ConfigurationFault

# What peft puts into the names of weights that it saves whole.
COPIED = ".modules_to_save.default."
DTYPES: Mapping[Precision, torch.dtype] = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}

__all__ = ["Built", "Layer", "Sources", "build", "outline", "seed"]


@dataclass(slots=True)
class Built:
    """A model ready to be trained.

    model: the transformers model, adapters injected. peft: its wrapper; None with METHOD_FULL.
    base: what it was trained from; for a continued adapter what that sits on.
    base_revision: commit of the Hub repository that was loaded; empty for other sources.
    """

    model: Any
    peft: PeftModel | None
    processor: Any
    family: Family
    device: torch.device
    precision: Precision
    parameter_count: int
    base: Base
    base_revision: str = ""
    # What the base's own card tells machines: its licence, what it came from.
    base_card: Mapping[str, Any] = field(default_factory=dict)
    # Of a batch's inputs those that the model is given; it is run within.
    given_to_model: Callable[[Mapping[str, Any]], AbstractContextManager[Mapping[str, Any]]] = nullcontext
    # The ranks have a part of the weights each: they have to run the model together, pass by pass.
    sharded: bool = False

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return template.tokenizer_of(self.processor)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that end an answer; of a model that answers nothing, its end of text."""
        given = getattr(self.model.generation_config, "eos_token_id", None)
        ids = given if isinstance(given, list) else [given]
        return tuple({int(each) for each in (*ids, self.tokenizer.eos_token_id) if each is not None})

    @property
    def pad_id(self) -> int:
        """Id that fills batches up; masked wherever it does."""
        tokenizer = self.tokenizer
        return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Parameters that change, by name."""
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def train(self) -> None:
        """Training mode for what trains; frozen modules work as when used: no dropout, no statistics."""
        _train(self.model)

    def autocast(self) -> torch.autocast:
        """The number format of forward passes."""
        dtype = DTYPES[self.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not torch.float32)


def build(
    spec: Spec,
    sources: Sources,
    families: Mapping[str, Family] = FAMILIES,
    *,
    local_rank: int = 0,
    on_cpu: bool = False,
) -> Built:
    """Builds model and processor of a resolved spec; the same spec and sources give the same weights.

    local_rank: which of several accelerators of this machine to take. on_cpu: none of them.
    """
    seed(spec.hyperparameters.seed or 0)
    device = ranks.device(0 if on_cpu else spec.resources.accelerator_count, local_rank)
    commit = bases.commit_of(spec.base_model)
    spec = spec.at(commit)  # one commit for all files, also when the branch moves meanwhile
    precision = spec.hyperparameters.precision or Precision.FP32
    preset = PRESETS.get(spec.base_model.preset or "")
    if preset:
        model, processor, family = bases.from_preset(preset, sources, families)
    else:
        model, processor, family = bases.from_files(spec, sources, _base_dtype(spec), families, device)
    if family.prepare:
        family.prepare(model, spec)
    parameter_count = model.num_parameters()  # Four bits are two weights in one.
    adapted = adapt(model, spec, family, sources.continued(spec.adaptation))
    _freeze_unused(model, family)
    _check_trained(model, spec, family)
    for name, parameter in model.named_parameters():
        # Also what is unused of a part that trains whole: its norms meet the numbers of the others.
        if parameter.requires_grad or COPIED in name:
            parameter.data = parameter.data.float()
    if spec.hyperparameters.gradient_checkpointing:
        checkpoint_activations(model)
    # Weights of few bits are where they were loaded; those that get divided are moved part by part.
    if spec.adaptation.quantisation is None and not spec.resources.is_sharded:
        model.to(device)
    base = sources.base_of(spec)
    told = bases.card_of(spec.base_model, sources)
    built = Built(model, adapted, processor, family, device, precision, parameter_count, base, commit, told)
    if model.can_generate():
        template.use_for_training(processor, family, built.stop_ids)
    return built


def outline(spec: Spec, sources: Sources, families: Mapping[str, Family] = FAMILIES) -> Built:
    """What `build` gives, but for weights, and not adapted: an objective encodes by it as by the whole.

    Takes the time and the memory of processor and config, however large the model is.
    """
    commit = bases.commit_of(spec.base_model)
    spec = spec.at(commit)
    preset = PRESETS.get(spec.base_model.preset or "")
    model, processor, family = (
        bases.from_preset(preset, sources, families, outline=True)
        if preset
        else bases.outline(spec, sources, families)
    )
    built = Built(
        model, None, processor, family, torch.device("cpu"), Precision.FP32, 0, spec.base_model, commit
    )
    if model.can_generate():
        template.use_for_training(processor, family, built.stop_ids)
    return built


def refuse_other_kinds(built: Built, facts: DatasetFacts) -> None:
    """What a model of the Hub or a folder takes is known only once it is here: ConfigurationFault."""
    family = built.family
    if refused := sorted(facts.kinds - set(family.takes)):
        raise ConfigurationFault(
            "KIND_NOT_TAKEN",
            f"The model is of the family {family.name}, which cannot train on examples of kind "
            f"{', '.join(refused)}. It takes {', '.join(family.takes)}.",
        )


def _check_trained(model: Any, spec: Spec, family: Family) -> None:
    """Refuses a part that shall train, is there, and has no place for adapters."""
    adaptation = spec.adaptation
    if adaptation.lora is None or not family.chooses_targets(adaptation):
        return  # Whole parts train as far as the objective reaches; who names modules has said where.
    weights = dict(model.named_parameters())
    there = {family.parts.part_of(name) for name in weights}
    trains = {family.parts.part_of(name) for name, each in weights.items() if each.requires_grad}
    if lost := sorted(adaptation.trains() & there - trains):
        raise ConfigurationFault(
            "PART_NOT_ADAPTED",
            f"{', '.join(lost)} shall train, but {adaptation.method} finds nothing to adapt there in a model "
            f"of the family {family.name}. Set it to PART_FREEZE, name adaptation.lora.target_modules, or "
            "use METHOD_FULL.",
        )


def _freeze_unused(model: Any, family: Family) -> None:
    """What no step reaches would never get a gradient: it stays as it is, adapters in it too."""
    unused = family.unused(model.config) if family.unused else ""
    for name, parameter in model.named_parameters():
        # Of a part that trains whole beside adapters it is peft's copy that trains.
        if unused and re.match(unused, name.replace(COPIED, ".")):
            parameter.requires_grad = False


def _train(module: torch.nn.Module) -> None:
    # From above to below, so that a frozen module never trains meanwhile: another thread may be using it.
    parameters = list(module.parameters())
    if parameters and not any(each.requires_grad for each in parameters):
        module.eval()
        return
    module.training = True
    for each in module.children():
        _train(each)


def seed(value: int) -> None:
    """Seeds every generator that building draws from."""
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


def _base_dtype(spec: Spec) -> torch.dtype:
    """Frozen weights take the precision of the passes; weights that train are float32."""
    precision = spec.hyperparameters.precision or Precision.FP32
    return DTYPES[precision] if spec.adaptation.by_adapter else torch.float32
