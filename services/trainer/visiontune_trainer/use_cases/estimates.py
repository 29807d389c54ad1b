"""What a job would need, as far as that is known before a worker loads the model."""

import asyncio

from visiontune_recipes.estimate.needs import Card, Needs, needs
from visiontune_recipes.estimate.sizes import COUNTED, Sizes, sizes_of, sizes_of_preset
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.spec import Base, Spec

from visiontune_trainer.ports import AcceleratorKind
from visiontune_trainer.use_cases.deps import Deps

# Models that are made of models that are made of models: further back nobody looks.
_MOST_ANCESTORS = 20


async def estimate(asked: Spec, resolved: Spec, facts: DatasetFacts, steps: int, deps: Deps) -> Needs | str:
    """The needs of a resolved spec, or a sentence that says why they are unknown. steps: still to do."""
    if facts.lengths is None:
        return "The dataset version is older than the statistics of its tokens; import it again."
    found = await _sizes(resolved.base_model, deps)
    if isinstance(found, str):
        return found
    family, sizes = found
    cards = [_card(kind, is_spot=resolved.resources.is_spot) for kind in deps.backend.accelerators()]
    return needs(asked, resolved, sizes, facts.lengths, steps, FAMILIES[family].methods, cards)


async def _sizes(base: Base, deps: Deps) -> tuple[str, Sizes] | str:
    """Family and sizes of a base model, or why they are unknown."""
    source = await _first(base, deps)
    preset = PRESETS.get(source.preset or "")
    if preset is not None:
        family, sizes = preset.family, sizes_of_preset(preset)
    elif source.path is not None:
        config = await asyncio.to_thread(deps.model_folders.config, source.path)
        if config is None:
            return f"The trainer cannot read {source.path}/config.json; so sizes are unknown."
        kind = str(config.get("model_type", ""))
        family = _family_of(kind, sees="vision_config" in config)
        sizes = sizes_of(family, config) if family in COUNTED else None
    else:
        return "Nothing is downloaded before a worker runs, so sizes of models on the Hub are unknown."
    if sizes is None:
        return f"What is known of this model of the family {family} does not suffice to tell its size."
    return family, sizes


def _family_of(model_type: str, *, sees: bool) -> str:
    """As the worker chooses it: what no family names is text, or seen by the generic one."""
    named = (name for name, each in FAMILIES.items() if model_type in each.model_types)
    return next(named, "generic" if sees else "text")


async def _first(base: Base, deps: Deps) -> Base:
    """What a registered model was first made of; adapters and further training keep its sizes."""
    async with deps.unit_of_work() as uow:
        for _ in range(_MOST_ANCESTORS):
            model = await uow.models.get(base.model) if base.model else None
            if model is None:
                break
            base = model.base_model
    return base


def _card(kind: AcceleratorKind, *, is_spot: bool) -> Card:
    price = kind.spot_price_per_hour if is_spot else kind.price_per_hour
    return Card(kind.name, kind.memory_bytes, kind.bf16_flops, price)
