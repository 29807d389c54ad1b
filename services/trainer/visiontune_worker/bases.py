"""Loads what a training starts from: a preset, a repository of the Hub, a folder or a registered model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForMaskedLM
from transformers.utils.hub import cached_file, extract_commit_hash
from visiontune_recipes.families import Family
from visiontune_recipes.presets import Preset
from visiontune_recipes.spec import Base

from visiontune_worker import presets
from visiontune_worker.faults import ConfigurationFault, PassingFault
from visiontune_worker.template import tokenizer_of


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
    trusted: frozenset[str] = frozenset()  # repositories and folders whose own code may run here
    layers: tuple[Layer, ...] = ()  # files of the registered model that `base_model.model` names
    processor: Path | None = None  # the processor that an earlier attempt made, for a preset
    texts: Iterable[str] = ()  # the training texts, for a preset without one


def from_preset(preset: Preset, sources: Sources, families: Mapping[str, Family]) -> tuple[Any, Any, Family]:
    """Model, processor and family of a preset."""
    family = families[preset.family]
    if sources.processor is not None:
        processor = _load_processor(family, sources.processor)
    else:
        processor = presets.processor(preset, sources.texts)
    tokenizer = tokenizer_of(processor)
    model = _from_config(family, presets.config(preset, tokenizer))
    if model.can_generate():
        for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
            setattr(model.generation_config, name, getattr(tokenizer, name))
    return model, processor, family


def _from_config(family: Family, config: Any) -> Any:
    """A model with random weights. The classes that choose a class are not built as others are."""
    found = _resolve_class(family.model_class)
    return found.from_config(config) if hasattr(found, "from_config") else found(config)


def from_files(
    base: Base, sources: Sources, dtype: torch.dtype, families: Mapping[str, Family]
) -> tuple[Any, Any, Family]:
    """Model, processor and family of files, in a repository or on this machine."""
    location, revision = _location(base, sources)
    keywords = {"revision": revision, "trust_remote_code": (base.path or location) in sources.trusted}
    family = _family_of(location, keywords, families)
    try:
        processor = _load_processor(family, location, **keywords)
        model = _resolve_class(family.model_class).from_pretrained(
            location, dtype=dtype, use_safetensors=True, **keywords
        )
    except (OSError, ValueError) as error:
        raise _unloadable(location, error) from error
    return reduce(_merge, sources.layers[1:], model), processor, family


def commit_of(base: Base) -> str:
    """The commit that a Hub repository's revision stands for now; empty for other sources."""
    if base.hub is None:
        return ""
    try:
        config = cached_file(base.hub.repo_id, "config.json", revision=base.hub.revision or "main")
    except (OSError, ValueError) as error:
        raise _unloadable(base.hub.repo_id, error) from error
    return extract_commit_hash(config, None) or ""


def _load_processor(family: Family, location: str | Path, **keywords: Any) -> Any:
    """The processor of files. Some classes (Phi-4's) forget their template, which the tokenizer has, too."""
    processor = _resolve_class(family.processor_class).from_pretrained(location, **keywords)
    processor.chat_template = processor.chat_template or tokenizer_of(processor).chat_template
    return processor


def _resolve_class(text: str) -> Any:
    module, _, name = text.partition(":")
    return getattr(import_module(module), name)


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


def _family_of(location: str, keywords: Mapping[str, Any], families: Mapping[str, Family]) -> Family:
    try:
        config = AutoConfig.from_pretrained(location, **keywords)
    except (OSError, ValueError) as error:
        raise _unloadable(location, error) from error
    named = (each for each in families.values() if config.model_type in each.model_types)
    others = (each for each in families.values() if not each.model_types and _knows(each, config))
    found = next(chain(named, others), None)
    if found is None:
        raise ConfigurationFault(
            "UNKNOWN_FAMILY",
            f"{location} is of type {config.model_type}, which no family trains. "
            f"Families: {', '.join(families)}.",
        )
    return found


def _knows(family: Family, config: Any) -> bool:
    """True when the family's class, which chooses by the config, has one for it, or the model brings it.

    What fills masks, or has an encoder, does not answer by going on, though it is listed there as well.
    """
    if config.is_encoder_decoder or type(config) in AutoModelForMaskedLM._model_mapping:  # noqa: SLF001
        return False
    chooses = _resolve_class(family.model_class)
    brought = getattr(config, "auto_map", None) or {}
    return type(config) in chooses._model_mapping or chooses.__name__ in brought  # noqa: SLF001 - no other way


def _unloadable(location: str, error: Exception) -> ConfigurationFault | PassingFault:
    if "couldn't connect" in str(error):
        return PassingFault("HUB_UNAVAILABLE", f"{location} could not be fetched from the Hub: {error}")
    if "trust_remote_code" in str(error):
        return ConfigurationFault(
            "CODE_NOT_TRUSTED",
            f"{location} brings code of its own, which runs only where the operator trusts it. Ask for it to "
            "be added to VISIONTUNE_WORKER_TRUSTED_REPOSITORIES, or take a model that transformers knows.",
        )
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
