"""What a job would have to do, as far as that is known before a worker loads the model."""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import harmonic_mean, median
from typing import Any

from visiontune_recipes.estimate.counting import sizes_of, sizes_of_preset
from visiontune_recipes.estimate.fitting import Place
from visiontune_recipes.estimate.needs import Card, Needs, Speed, needs
from visiontune_recipes.estimate.sizes import Sizes
from visiontune_recipes.estimate.work import Work
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.spec import Base, Spec

from visiontune_trainer.domain.reports import MetricPoint
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import AcceleratorKind
from visiontune_trainer.use_cases.deps import Deps

# Models that are made of models that are made of models: further back nobody looks.
_MOST_ANCESTORS = 20
# Jobs and points among which speeds are looked for, the newest and the first.
_MOST_JOBS, _MOST_POINTS = 100, 1000


async def find_work(base: Base, facts: DatasetFacts, deps: Deps) -> tuple[str, Work] | str:
    """Family of a base model and what it is to learn, or a sentence that says why that is unknown."""
    if facts.lengths is None:
        return "The dataset version is older than the statistics of its tokens; import it again."
    found = await _sizes(base, deps)
    if isinstance(found, str):
        return found
    family, sizes = found
    return family, Work(sizes, facts, facts.lengths)


async def estimate(
    project: str, asked: Spec, resolved: Spec, family: str, work: Work, steps: int, deps: Deps
) -> Needs:
    """The needs of a resolved spec. steps: still to do."""
    cards = [_card(kind, is_spot=resolved.resources.is_spot) for kind in deps.backend.accelerators()]
    speeds = await _speeds(project, resolved, deps)
    return needs(asked, resolved, work, steps, FAMILIES[family].methods, cards, speeds)


def place(resolved: Spec, deps: Deps) -> Place | None:
    """The kind of accelerator that a job asks for; None for processors, and where the operator lists none."""
    asked = resolved.resources
    kinds = deps.backend.accelerators() if asked.accelerator_count else ()
    # Without a name it is the one that a machine has.
    found = (kind for kind in kinds if asked.accelerator in {"", kind.name})
    return next((Place(kind.name, kind.memory_bytes, kind.has_bf16) for kind in found), None)


async def _speeds(project: str, resolved: Spec, deps: Deps) -> Mapping[str, Speed]:
    """Those of the newest job of each kind of accelerator that trained the same model alike.

    On as many of them; "" stands for processors.
    """
    found: dict[str, Speed] = {}
    async with deps.unit_of_work() as uow:
        for job in await uow.jobs.page(project, "", None, _MOST_JOBS):
            name = job.resolved.resources.accelerator
            if job.state is not State.SUCCEEDED or name in found or not _alike(job.resolved, resolved):
                continue
            points = await uow.records.metrics(job.name, -1, _MOST_POINTS)
            if trained := _told(points, "samples_per_second"):
                evaluated = _told(points, "evaluation_samples_per_second")
                is_alike = job.resolved.evaluation.max_new_tokens == resolved.evaluation.max_new_tokens
                speed = Speed(median(trained))
                if evaluated and is_alike:
                    # Each counts by its time.
                    later = harmonic_mean(evaluated[1:] or evaluated)
                    speed = Speed(speed.trained, later, first_evaluated=evaluated[0])
                found[name] = speed
    return found


def _told(points: Sequence[MetricPoint], name: str) -> list[float]:
    return [value for each in points if (value := each.values.get(name))]


def _alike(one: Spec, other: Spec) -> bool:
    """True when both train the same model in the same way on as many accelerators."""

    def about(spec: Spec) -> tuple[object, ...]:
        where = spec.resources
        count = max(1, where.accelerator_count) * where.node_count
        return spec.base_model, spec.adaptation, spec.objective, count

    return about(one) == about(other)


async def _sizes(base: Base, deps: Deps) -> tuple[str, Sizes] | str:
    source = await _first(base, deps)
    preset = PRESETS.get(source.preset or "")
    if preset is not None:
        family, sizes = preset.family, sizes_of_preset(preset)
    else:
        config = await _config(source, deps)
        if isinstance(config, str):
            return config
        family = _family_of(str(config.get("model_type", "")), sees="vision_config" in config)
        sizes = sizes_of(family, config)
    if sizes is None:
        return f"What is known of this model of the family {family} does not suffice to tell its size."
    return family, sizes


async def _config(source: Base, deps: Deps) -> Mapping[str, Any] | str:
    """What config.json of a folder or a repository says, or why nobody can tell."""
    if source.hub is not None:
        hub = source.hub
        return await deps.hub_configs.config(hub.repo_id, hub.revision)
    config = await asyncio.to_thread(deps.model_folders.config, source.path or "")
    return config or f"The trainer cannot read {source.path}/config.json; so sizes are unknown."


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
