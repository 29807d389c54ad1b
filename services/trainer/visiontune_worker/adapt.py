"""Makes of a base model what trains: chosen weights of it, or low-rank adapters inside it."""

from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel
from visiontune_recipes.families import Family
from visiontune_recipes.spec import Adaptation, Base, Method, Spec

from visiontune_worker import modules
from visiontune_worker.bases import Layer, refuse_misfit
from visiontune_worker.faults import ConfigurationFault


def adapt(model: Any, spec: Spec, family: Family, continued: Layer | None = None) -> PeftModel | None:
    """Chooses what trains, in place; returns peft's wrapper where there are adapters.

    continued: the adapter to train further; None for a new one.
    """
    adaptation = spec.adaptation
    if adaptation.method is Method.FULL:
        whole = adaptation.whole()
        for name, parameter in model.named_parameters():
            parameter.requires_grad = family.parts.part_of(name) in whole
        return None
    if continued is not None:
        adapted = PeftModel.from_pretrained(model, continued.folder, is_trainable=True)
        refuse_misfit(adapted, continued)
        return adapted
    try:
        adapted = get_peft_model(model, _lora_config(model, adaptation, family))
    except ValueError as error:
        raise ConfigurationFault("NO_MODULE_TO_ADAPT", f"The adapter fits no module: {error}") from error
    adapted.peft_config["default"].base_model_name_or_path = _name_of(spec.base_model)
    adapted.peft_config["default"].revision = spec.base_model.hub.revision if spec.base_model.hub else None
    return adapted


def checkpoint_activations(model: Any) -> None:
    """Has activations computed again in the backward pass, in every part that knows how."""
    found = list(_checkpointable(model))
    if not found:
        raise ConfigurationFault(
            "NO_GRADIENT_CHECKPOINTING",
            "No part of this model can compute its activations again. Leave gradient_checkpointing out and "
            "lower batch_size.",
        )
    for each in found:
        # The reentrant kind gives no gradient to adapters behind an input that needs none. The other one does
        # without inputs that need one, which would have frozen towers keep their activations.
        each.activation_checkpointing_enable({"use_reentrant": False})
        each.disable_input_require_grads()  # type: ignore[no-untyped-call]  # transformers


def _checkpointable(module: torch.nn.Module) -> Iterator[PreTrainedModel]:
    """The outermost models that can: some that are made of two cannot by themselves."""
    if isinstance(module, PreTrainedModel) and module.supports_gradient_checkpointing:
        yield module
        return
    for child in module.children():
        yield from _checkpointable(child)


def _lora_config(model: Any, adaptation: Adaptation, family: Family) -> LoraConfig:
    lora = adaptation.lora
    if lora is None or lora.rank is None or lora.alpha is None:
        raise ConfigurationFault("SPEC_NOT_RESOLVED", "An adapter needs a resolved rank and alpha.")
    whole = modules.roots(model, family.parts, adaptation.whole())
    embeddings = modules.embeddings(model) if lora.train_embeddings else []
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft only divides it by the rank
        lora_dropout=lora.dropout or 0.0,
        use_rslora=bool(lora.use_rslora),
        use_dora=bool(lora.use_dora),
        target_modules=modules.targets(model, adaptation, family),
        modules_to_save=[*whole, *embeddings] or None,
        # Else copies of tied weights would part, and the model collapse when it is merged.
        ensure_weight_tying=bool(embeddings) and modules.is_tied(model),
    )


def _name_of(base: Base) -> str:
    """What the adapter's config names as its base: a repository, a folder or a registered model."""
    return base.hub.repo_id if base.hub else (base.path or base.model or "")
