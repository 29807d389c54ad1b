"""Makes of a base model what trains: chosen weights of it, or low-rank adapters inside it."""

from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from visiontune_recipes.families import Family
from visiontune_recipes.spec import Adaptation, Base, Method, Spec

from visiontune_worker.faults import ConfigurationFault


def adapt(model: Any, spec: Spec, family: Family) -> PeftModel | None:
    """Chooses what trains, in place; returns peft's wrapper where adapters were put in."""
    adaptation = spec.adaptation
    if adaptation.method is Method.FULL:
        trains = adaptation.trains()
        for name, parameter in model.named_parameters():
            parameter.requires_grad = family.parts.part_of(name) in trains
        return None
    try:
        adapted = get_peft_model(model, _lora_config(adaptation, family))
    except ValueError as error:
        raise ConfigurationFault("NO_MODULE_TO_ADAPT", f"The adapter fits no module: {error}") from error
    adapted.peft_config["default"].base_model_name_or_path = _name_of(spec.base_model)
    adapted.peft_config["default"].revision = spec.base_model.hub.revision if spec.base_model.hub else None
    return adapted


def _lora_config(adaptation: Adaptation, family: Family) -> LoraConfig:
    lora, trains = adaptation.lora, adaptation.trains()
    if lora is None or lora.rank is None or lora.alpha is None:
        raise ConfigurationFault("SPEC_NOT_RESOLVED", "METHOD_LORA needs a resolved rank and alpha.")
    patterns = [getattr(family.lora, part) for part in ("vision_tower", "language_model") if part in trains]
    own = "|".join(filter(None, patterns))
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft only divides it by the rank
        lora_dropout=lora.dropout or 0.0,
        target_modules=lora.target_modules or own,
        modules_to_save=list(family.lora.projector_modules) or None if "projector" in trains else None,
    )


def _name_of(base: Base) -> str:
    """What the adapter's config names as its base: a repository, a folder or a registered model."""
    return base.hub.repo_id if base.hub else (base.path or base.model or "")
