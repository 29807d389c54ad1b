"""The model card of a result: metadata that the Hub reads, then what a reader wants to know."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from visiontune_recipes.facts import Kind
from visiontune_recipes.families import Family
from visiontune_recipes.spec import Base, Spec

from visiontune_worker.build import Built
from visiontune_worker.cards import code
from visiontune_worker.claim import Sample

LONGEST_CELL = 200
# What Markdown or HTML would take for more than text.
_MARKS = frozenset("&<>\\`*_{}[]|~#")
# What the Hub calls the task of models that answer nothing, by their objective.
PIPELINES: Mapping[str, str] = {
    "contrastive": "zero-shot-image-classification",
    "flava": "zero-shot-image-classification",
    "late_interaction": "visual-document-retrieval",
}


@dataclass(frozen=True, slots=True)
class Story:
    """How a result came to be."""

    training_job: str
    spec: Spec
    spec_digest: str
    dataset_digest: str
    metrics_before: Mapping[str, float]
    metrics_after: Mapping[str, float]
    steps: int
    samples: Sequence[Sample] = ()


def card(built: Built, story: Story, *, is_adapter: bool) -> str:
    """The card of an adapter, or of a whole model."""
    template = resources.files(__package__).joinpath("template.md").read_text(encoding="utf-8")
    made = ModelCard.from_template(
        _metadata(built, story, is_adapter=is_adapter),
        template_str=template,
        name=_name(story),
        description=built.family.description,
        base=_base(story.spec),
        steps=f"{story.steps:,}",
        how="low-rank adapters" if story.spec.adaptation.by_adapter else "all chosen weights",
        spec=story.spec,
        metrics=list(_metrics(story)),
        samples=[_cells(each) for each in story.samples],
        code=code.of(built.family, built.base if is_adapter else None),
        licence=_licence(built, story.spec),
        training_job=story.training_job,
        dataset_digest=story.dataset_digest,
        spec_digest=story.spec_digest,
        parameters=f"{built.parameter_count:,}",
        spec_text=yaml.safe_dump(story.spec.to_dict(), sort_keys=False),
    )
    return str(made)


def _metadata(built: Built, story: Story, *, is_adapter: bool) -> ModelCardData:
    """What the Hub reads. Names of datasets here are none of the Hub's: they stand in the results alone."""
    pipeline, base_model = _pipeline(built.family), _base_on_hub(built)
    further: dict[str, Any] = {
        key: value for key, value in built.base_card.items() if key.startswith("license")
    }
    if base_model:
        further["base_model_relation"] = "adapter" if is_adapter else "finetune"
    return ModelCardData(
        base_model=base_model,
        **further,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag=pipeline,
        tags=["visiontune", built.family.name, *(["lora"] if is_adapter else [])],
        model_name=_name(story),
        eval_results=[
            EvalResult(
                task_type=pipeline,
                dataset_type="visiontune",
                dataset_name=story.spec.dataset_version,
                dataset_split="validation",
                dataset_revision=story.dataset_digest,
                metric_type=name,
                metric_value=value,
            )
            for name, value in sorted(story.metrics_after.items())
            if math.isfinite(value)
        ]
        or None,
    )


def _name(story: Story) -> str:
    return story.training_job.rsplit("/", 1)[-1]


def _pipeline(family: Family) -> str:
    sees = Kind.CHAT_WITH_IMAGES in family.takes or Kind.CHAT_WITH_VIDEO in family.takes
    return PIPELINES.get(family.objective) or ("image-text-to-text" if sees else "text-generation")


def _base_on_hub(built: Built) -> Any:
    """What of the Hub it comes from, at last through a registered model; None when nobody knows."""
    if built.base.hub:
        return built.base.hub.repo_id
    return built.base_card.get("base_model") if built.base.model else None


def _base(spec: Spec) -> str:
    base: Base = spec.base_model
    if base.preset:
        return f"the preset `{base.preset}`, whose weights began at random"
    return f"`{f'{base.hub.repo_id}@{base.hub.revision}' if base.hub else base.path or base.model}`"


def _licence(built: Built, spec: Spec) -> str:
    if spec.base_model.preset:
        return "It has no base: its weights began at random. The data may have terms of its own."
    named = built.base_card.get("license_name") or built.base_card.get("license")
    if named:
        return f"That of its base, whose card says `{named}`. The data may have terms of its own."
    return "Not known: the base's files name none. Ask whoever made the base before you pass this on."


def _metrics(story: Story) -> Iterator[tuple[str, str, str]]:
    for name, after in sorted(story.metrics_after.items()):
        before = story.metrics_before.get(name)
        yield name, "" if before is None else f"{before:.4f}", f"{after:.4f}"


def _cells(sample: Sample) -> list[str]:
    return [_cell(each) for each in (sample.prompt, sample.expected, sample.before, sample.after)]


def _cell(text: str) -> str:
    """Text of users and models as it is, on one line of a table."""
    short = text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
    return "".join(
        f"&#{ord(each)};" if each in _MARKS else each if each.isprintable() else " " for each in short
    )
