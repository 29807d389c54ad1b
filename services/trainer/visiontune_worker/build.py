"""Builds what is trained: a base model from one of four sources, adapted as the spec asks."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig
from transformers.utils.hub import cached_file, extract_commit_hash
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import PRESETS, Preset
from visiontune_recipes.spec import Adaptation, Base, Method, Precision, Spec

from visiontune_worker import presets, ranks
from visiontune_worker.faults import ConfigurationFault, PassingFault


@dataclass(frozen=True, slots=True)
class Layer:
    """A downloaded registered model: a whole one, or an adapter on top of the layers before."""

    name: str
    is_adapter: bool
    folder: Path


@dataclass(frozen=True, slots=True)
class Sources:
    """Where base models may come from, besides the spec itself."""

    roots: tuple[Path, ...] = ()  # folders below which `base_model.path` may lie
    layers: tuple[Layer, ...] = ()  # files of the registered model that `base_model.model` names
    processor: Path | None = None  # the processor that an earlier attempt made, for a preset
    texts: Iterable[str] = ()  # the training texts, for a preset without one


@dataclass(slots=True)
class Built:
    """A model ready to be trained.

    model: the transformers model, adapters injected. peft: its wrapper; None with METHOD_FULL.
    base_revision: commit of the Hub repository that was loaded; empty for other sources.
    """

    model: Any
    peft: PeftModel | None
    processor: Any
    family: Family
    device: torch.device
    precision: Precision
    parameter_count: int
    base_revision: str = ""

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that end an answer."""
        given = self.model.generation_config.eos_token_id
        ids = given if isinstance(given, list) else [given]
        return tuple(
            {int(each) for each in (*ids, self.processor.tokenizer.eos_token_id) if each is not None}
        )

    @property
    def pad_id(self) -> int:
        """Id that fills batches up; masked wherever it does."""
        tokenizer = self.processor.tokenizer
        return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Parameters that change, by name."""
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def train(self) -> None:
        """Training mode for what trains; frozen modules work as when used: no dropout, no statistics."""
        self.model.train()
        for module in self.model.modules():
            parameters = list(module.parameters())
            if parameters and not any(each.requires_grad for each in parameters):
                module.eval()

    def autocast(self) -> torch.autocast:
        """The number format of forward passes."""
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.precision is Precision.BF16
        )


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
    dtype = _base_dtype(spec)
    commit = _commit(spec.base_model)
    spec = spec.at(commit)  # one commit for all files, also when the branch moves meanwhile
    preset = PRESETS.get(spec.base_model.preset or "")
    if preset:
        model, processor, family = _from_preset(preset, sources, families)
    else:
        model, processor, family = _from_files(spec.base_model, sources, dtype, families)
    parameter_count = sum(each.numel() for each in model.parameters())
    _use_training_template(processor, family, model)
    adapted = _adapt(model, spec, family)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.to(device)
    precision = spec.hyperparameters.precision or Precision.FP32
    return Built(model, adapted, processor, family, device, precision, parameter_count, commit)


def seed(value: int) -> None:
    """Seeds every generator that building draws from."""
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


def _base_dtype(spec: Spec) -> torch.dtype:
    """Frozen weights take the precision of the passes; weights that train are float32."""
    frozen = spec.adaptation.method is Method.LORA
    return torch.bfloat16 if frozen and spec.hyperparameters.precision is Precision.BF16 else torch.float32


def _resolve_class(text: str) -> Any:
    module, _, name = text.partition(":")
    return getattr(import_module(module), name)


def _from_preset(preset: Preset, sources: Sources, families: Mapping[str, Family]) -> tuple[Any, Any, Family]:
    family = families[preset.family]
    if sources.processor is not None:
        processor = _resolve_class(family.processor_class).from_pretrained(sources.processor)
    else:
        processor = presets.processor(preset, sources.texts)
    model = _resolve_class(family.model_class)(presets.config(preset, processor.tokenizer))
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        setattr(model.generation_config, name, getattr(processor.tokenizer, name))
    return model, processor, family


def _from_files(
    base: Base, sources: Sources, dtype: torch.dtype, families: Mapping[str, Family]
) -> tuple[Any, Any, Family]:
    location, revision = _location(base, sources)
    family = _family_of(location, revision, families)
    keywords = {"revision": revision, "trust_remote_code": False}
    try:
        processor = _resolve_class(family.processor_class).from_pretrained(location, **keywords)
        model = _resolve_class(family.model_class).from_pretrained(
            location, dtype=dtype, use_safetensors=True, **keywords
        )
    except (OSError, ValueError) as error:
        raise _unloadable(location, error) from error
    return reduce(_merge, sources.layers[1:], model), processor, family


def _commit(base: Base) -> str:
    """The commit that a Hub repository's revision stands for now; empty for other sources."""
    if base.hub is None:
        return ""
    try:
        config = cached_file(base.hub.repo_id, "config.json", revision=base.hub.revision or "main")
    except (OSError, ValueError) as error:
        raise _unloadable(base.hub.repo_id, error) from error
    return extract_commit_hash(config, None) or ""


def _location(base: Base, sources: Sources) -> tuple[str, str]:
    """What `from_pretrained` takes: a repository or a folder, and a revision."""
    if base.hub is not None:
        return base.hub.repo_id, base.hub.revision or "main"
    if base.path is not None:
        return str(_allowed(Path(base.path), sources.roots)), "main"
    if not sources.layers or sources.layers[0].is_adapter:
        raise ConfigurationFault("BASE_MODEL_NOT_FOUND", f"The files of {base.model} were not handed over.")
    return str(sources.layers[0].folder), "main"


def _allowed(path: Path, roots: tuple[Path, ...]) -> Path:
    """The folder behind a path, links followed. ConfigurationFault when it lies below none of the roots."""
    real = path.resolve()
    if not any(real.is_relative_to(root) for root in roots):
        raise ConfigurationFault(
            "PATH_NOT_ALLOWED",
            f"{path} lies below none of the folders from which this worker takes models. "
            "Ask the operator to add one to VISIONTUNE_WORKER_MODEL_ROOTS.",
        )
    if not real.is_dir():
        raise ConfigurationFault(
            "BASE_MODEL_NOT_FOUND", f"There is no folder {path} on the worker's machine."
        )
    return real


def _family_of(location: str, revision: str, families: Mapping[str, Family]) -> Family:
    try:
        model_type = AutoConfig.from_pretrained(
            location, revision=revision, trust_remote_code=False
        ).model_type
    except (OSError, ValueError) as error:
        raise _unloadable(location, error) from error
    found = next((each for each in families.values() if model_type in each.model_types), None)
    if found is None:
        raise ConfigurationFault(
            "UNKNOWN_FAMILY",
            f"{location} is of type {model_type}, which no family trains. Families: {', '.join(families)}.",
        )
    return found


def _unloadable(location: str, error: Exception) -> ConfigurationFault | PassingFault:
    if "couldn't connect" in str(error):
        return PassingFault("HUB_UNAVAILABLE", f"{location} could not be fetched from the Hub: {error}")
    return ConfigurationFault("BASE_MODEL_NOT_LOADABLE", f"{location} cannot be loaded: {error}")


def _merge(model: Any, layer: Layer) -> Any:
    """The model with an adapter's change worked into its weights. Refuses an adapter that does not fit."""
    adapted = PeftModel.from_pretrained(model.float(), layer.folder)
    found = adapted.load_adapter(layer.folder, adapter_name="check")
    wrong = [*found.missing_keys, *found.unexpected_keys]
    if wrong:
        raise ConfigurationFault(
            "ADAPTER_DOES_NOT_FIT", f"{layer.name} does not fit its base model: {', '.join(wrong[:5])}."
        )
    adapted.delete_adapter("check")
    return adapted.merge_and_unload()


def _use_training_template(processor: Any, family: Family, model: Any) -> None:
    """Takes the family's template where the model's own does not mark answers with their stop token."""
    eos = model.generation_config.eos_token_id
    stops = set(eos if isinstance(eos, list) else [eos]) | {processor.tokenizer.eos_token_id}
    if not _marks_stop(processor, stops):
        processor.chat_template = family.chat_template
        processor.tokenizer.chat_template = family.chat_template


def _marks_stop(processor: Any, stops: set[int | None]) -> bool:
    if "generation" not in (processor.chat_template or ""):
        return False
    probe = [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
    ]
    found = processor.apply_chat_template(
        [probe], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [i for i, on in zip(found["input_ids"][0], found["assistant_masks"][0], strict=True) if on]
    return bool(marked) and int(marked[-1]) in stops


def _adapt(model: Any, spec: Spec, family: Family) -> PeftModel | None:
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
    own = "|".join(
        getattr(family.lora, part) for part in ("vision_tower", "language_model") if part in trains
    )
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft only divides it by the rank
        lora_dropout=lora.dropout or 0.0,
        target_modules=lora.target_modules or own,
        modules_to_save=list(family.lora.projector_modules) if "projector" in trains else None,
    )


def _name_of(base: Base) -> str:
    """What the adapter's config names as its base: a repository, a folder or a registered model."""
    return base.hub.repo_id if base.hub else (base.path or base.model or "")
