"""Which modules of a model an adaptation touches, by the patterns of its family and by what they are."""

import re
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D
from visiontune_recipes.adaptation_rules import ALL_LINEAR
from visiontune_recipes.families import Family, Parts
from visiontune_recipes.spec import Adaptation

from visiontune_worker.faults import ConfigurationFault

# What peft can put an adapter beside, by a pattern.
_ADAPTABLE = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Embedding, Conv1D)
# These have no forward pass that could be wrapped.
_CONTAINERS = (torch.nn.ModuleList, torch.nn.ModuleDict)


def roots(model: torch.nn.Module, parts: Parts, wanted: frozenset[str]) -> list[str]:
    """The outermost modules all of whose weights belong to wanted parts: what peft saves whole."""
    found: list[str] = []
    for name, module in model.named_modules():
        is_inside = name.startswith(tuple(f"{each}." for each in found))
        if not name or is_inside or isinstance(module, _CONTAINERS):
            continue
        owners = {parts.part_of(f"{name}.{parameter}") for parameter, _ in module.named_parameters()}
        if owners and owners <= wanted:
            found.append(name)
    return found


def heads(model: Any) -> list[str]:
    """Names of the modules that make tokens of vectors."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if module is head]


def targets(model: Any, adaptation: Adaptation, family: Family) -> str | list[str]:
    """What peft takes: the family's pattern, or the names that the user's hits in parts with adapters."""
    pattern = adaptation.lora.target_modules if adaptation.lora else ""
    if family.chooses_targets(adaptation):
        return pattern or family.own_targets(adaptation)
    adapted = adaptation.adapted()
    found = [
        name
        for name, module in model.named_modules()
        if family.parts.part_of(f"{name}.") in adapted and _is_hit(pattern, name, module, model)
    ]
    if not found:
        raise ConfigurationFault(
            "NO_MODULE_TO_ADAPT",
            f"{pattern!r} matches no layer of {', '.join(sorted(adapted))} that could have an "
            "adapter. Leave target_modules empty for the family's own.",
        )
    return found


def _is_hit(pattern: str, name: str, module: torch.nn.Module, model: Any) -> bool:
    if pattern == ALL_LINEAR:
        return isinstance(module, torch.nn.Linear | Conv1D) and module is not model.get_output_embeddings()
    return isinstance(module, _ADAPTABLE) and re.fullmatch(pattern, name) is not None


def embeddings(model: Any) -> list[str]:
    """Names of the modules that make vectors of tokens, and tokens of vectors."""
    wanted = (model.get_input_embeddings(), model.get_output_embeddings())
    return [name for name, module in model.named_modules() if any(module is each for each in wanted)]


def is_tied(model: Any) -> bool:
    """True when the head's weights are the embeddings'."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight
