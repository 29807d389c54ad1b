"""Loads what a training starts from: a preset, a repository of the Hub, a folder or a registered model."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import ModelCard, hf_hub_download
from peft import PeftModel
from transformers import AutoConfig, AutoModelForMaskedLM, GenerationConfig
from transformers.utils.hub import cached_file, extract_commit_hash
from visiontune_recipes import adaptation_rules
from visiontune_recipes.families import Family
from visiontune_recipes.presets import Preset
from visiontune_recipes.spec import Adaptation, Base, Method, Spec

from visiontune_worker import modules, presets, quantised
from visiontune_worker.faults import ConfigurationFault, PassingFault
from visiontune_worker.template import tokenizer_of

CARD = "README.md"


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
    adapter_base: Base | None = None  # what the first of layers sits on, when it is an adapter
    processor: Path | None = None  # the processor that an earlier attempt made, for a preset
    texts: Iterable[str] = ()  # the training texts, for a preset without one

    def continued(self, adaptation: Adaptation) -> Layer | None:
        """The adapter that is trained further; None where a new one is made, or none."""
        return self.layers[-1] if adaptation.continue_adapter and self.layers else None

    def merged(self, adaptation: Adaptation) -> list[Layer]:
        """The adapters that become part of what the training starts from."""
        continued = self.continued(adaptation)
        return [layer for layer in self.layers if layer.is_adapter and layer is not continued]

    def base_of(self, spec: Spec) -> Base:
        """What the result is loaded on top of, when it is an adapter."""
        if self.continued(spec.adaptation) is None:
            return spec.base_model
        below = self.layers[:-1]
        return Base(model=below[-1].name) if below else self.adapter_base or spec.base_model


def from_preset(
    preset: Preset, sources: Sources, families: Mapping[str, Family], *, outline: bool = False
) -> tuple[Any, Any, Family]:
    """Model, processor and family of a preset. outline: the model has no weights."""
    family = families[preset.family]
    if sources.processor is not None:
        processor = _load_processor(family, sources.processor)
    else:
        processor = presets.processor(preset, sources.texts)
    tokenizer = tokenizer_of(processor)
    config = presets.config(preset, tokenizer)
    with torch.device("meta") if outline else nullcontext():
        model = _from_config(family, config)
    if model.can_generate():
        for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
            setattr(model.generation_config, name, getattr(tokenizer, name))
    return model, processor, family


def _from_config(family: Family, config: Any, *, is_trusted: bool = False) -> Any:
    """A model with random weights. The classes that choose a class are not built as others are."""
    found = _resolve_class(family.model_class)
    if hasattr(found, "from_config"):
        return found.from_config(config, trust_remote_code=is_trusted)
    return found(config)


def from_files(
    spec: Spec, sources: Sources, dtype: torch.dtype, families: Mapping[str, Family], device: torch.device
) -> tuple[Any, Any, Family]:
    """Model, processor and family of files, in a repository or on this machine.

    device: where weights of few bits go; others stay in main memory. ConfigurationFault when the family
    cannot be trained as the spec asks.
    """
    location, keywords = _located(spec.base_model, sources)
    family, config = _family_of(location, keywords, families)
    for problem in adaptation_rules.problems(spec, family):
        raise ConfigurationFault("ADAPTATION_REFUSED", f"{problem.field}: {problem.message} {problem.remedy}")
    model_class, own = _resolve_class(family.model_class), dict(keywords)
    adapters = sources.merged(spec.adaptation)
    if spec.adaptation.quantisation is not None:
        if adapters:
            raise ConfigurationFault(
                "MERGED_INTO_FEW_BITS",
                f"{adapters[-1].name} cannot be merged into weights of few bits without a loss. Use "
                f"{Method.LORA}, or start from a whole model.",
            )
        keep = _kept_whole(family, config, spec.adaptation)
        own |= quantised.loading(spec.adaptation.quantisation, keep, dtype, device)
    try:
        processor = _load_processor(family, location, **keywords)
        model = model_class.from_pretrained(location, dtype=dtype, use_safetensors=True, **own)
    except (OSError, ValueError) as error:
        raise _unloadable(location, error) from error
    # A merge in fewer bits would lose what it adds.
    return reduce(_merge, adapters, model).to(dtype) if adapters else model, processor, family


def outline(spec: Spec, sources: Sources, families: Mapping[str, Family]) -> tuple[Any, Any, Family]:
    """As `from_files`, from the files beside the weights alone: the model has none, and nothing is merged."""
    location, keywords = _located(spec.base_model, sources)
    family, config = _family_of(location, keywords, families)
    try:
        processor = _load_processor(family, location, **keywords)
        with torch.device("meta"):
            model = _from_config(family, config, is_trusted=keywords["trust_remote_code"])
    except (OSError, ValueError) as error:
        raise _unloadable(location, error) from error
    if model.can_generate():
        with suppress(OSError):  # without the file it is made of the config
            model.generation_config = GenerationConfig.from_pretrained(
                location, revision=keywords["revision"]
            )
    return model, processor, family


def _kept_whole(family: Family, config: Any, adaptation: Adaptation) -> list[str]:
    """Names of the modules that are not kept in few bits: those that train whole, and the head."""
    with torch.device("meta"):
        skeleton = _from_config(family, config)
    return [*modules.roots(skeleton, family.parts, adaptation.whole()), *modules.heads(skeleton)]


def commit_of(base: Base) -> str:
    """The commit that a Hub repository's revision stands for now; empty for other sources."""
    if base.hub is None:
        return ""
    try:
        config = cached_file(base.hub.repo_id, "config.json", revision=base.hub.revision or "main")
    except (OSError, ValueError) as error:
        raise _unloadable(base.hub.repo_id, error) from error
    return extract_commit_hash(config, None) or ""


def card_of(base: Base, sources: Sources) -> Mapping[str, Any]:
    """What the card among a base's files tells machines; empty where there is none to be read."""
    try:
        if base.hub is not None:
            path = Path(hf_hub_download(base.hub.repo_id, CARD, revision=base.hub.revision or "main"))
        elif base.path is not None:
            path = Path(base.path) / CARD
        else:
            path = sources.layers[-1].folder / CARD if sources.layers else Path()
        return ModelCard.load(path).data.to_dict() if path.is_file() else {}
    except (OSError, ValueError, yaml.YAMLError):  # A missing card is no reason to fail, nor is a broken one.
        return {}


def _load_processor(family: Family, location: str | Path, **keywords: Any) -> Any:
    """The processor of files, with its template."""
    processor = _resolve_class(family.processor_class).from_pretrained(location, **keywords)
    if family.forgets_template:
        processor.chat_template = processor.chat_template or processor.tokenizer.chat_template
    return processor


def _resolve_class(text: str) -> Any:
    module, _, name = text.partition(":")
    return getattr(import_module(module), name)


def _located(base: Base, sources: Sources) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes: a repository or a folder, and keywords for all of its files."""
    location, revision = _location(base, sources)
    source = sources.adapter_base or base
    return location, {
        "revision": revision,
        "trust_remote_code": (source.path or location) in sources.trusted,
    }


def _location(base: Base, sources: Sources) -> tuple[str, str]:
    """A repository or a folder, and a revision."""
    if base.hub is not None:
        return base.hub.repo_id, base.hub.revision or "main"
    if base.path is not None:
        return str(_allowed(Path(base.path), sources.roots)), "main"
    if sources.layers and not sources.layers[0].is_adapter:
        return str(sources.layers[0].folder), "main"
    if sources.layers and sources.adapter_base is not None and sources.adapter_base.model is None:
        return _location(sources.adapter_base, sources)
    raise ConfigurationFault("BASE_MODEL_NOT_FOUND", f"The files of {base.model} were not handed over.")


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


def _family_of(
    location: str, keywords: Mapping[str, Any], families: Mapping[str, Family]
) -> tuple[Family, Any]:
    """The family of files, and their config."""
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
    return found, config


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
    refuse_misfit(adapted, layer)
    return adapted.merge_and_unload()


def refuse_misfit(adapted: PeftModel, layer: Layer) -> None:
    """ConfigurationFault when weights of an adapter found no place, or places no weights."""
    found = adapted.load_adapter(layer.folder, adapter_name="default", is_trainable=True)
    wrong = [*found.missing_keys, *found.unexpected_keys]
    if wrong:
        raise ConfigurationFault(
            "ADAPTER_DOES_NOT_FIT", f"{layer.name} does not fit its base model: {', '.join(wrong[:5])}."
        )
