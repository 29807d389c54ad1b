"""Models of every family of the table, built from their smallest presets, and examples that they take."""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from PIL import Image
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import Preset
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Method, Spec
from visiontune_worker import build, loop, objectives
from visiontune_worker.objectives.objective import Batch, Encoded, Objective
from visiontune_worker.objectives.pairs import IMAGE, TEXT, of
from visiontune_worker.order import Order
from visiontune_worker.shards import Example

from tests.support import pairs, worker_data

PARTS = ("vision_tower", "projector", "language_model")
# Those with a preset: a family without one has tests of its own.
WITH_PRESET = {name: family for name, family in FAMILIES.items() if family.presets}


# What takes seconds is shown on these in every run, and on all families in `make test-slow`.
OFTEN = ("llava", "qwen2_vl", "text")


def often(given: Mapping[str, Family], names: Collection[str] = OFTEN) -> list[Any]:
    """Parameters of a test: the families, those slow that are not among the names."""
    return [
        pytest.param(family, id=name, marks=() if name in names else pytest.mark.slow)
        for name, family in given.items()
    ]


def preset_of(family: Family) -> Preset:
    """The family's smallest preset."""
    return min(family.presets, key=lambda preset: preset.parameter_count)


def spec_of(family: Family, *trains: str, method: Method = Method.FULL, **fields: Any) -> Spec:
    """A resolved spec of the preset, of which these parts train."""
    parts = {part: "PART_TRAIN" if part in trains else "PART_FREEZE" for part in PARTS}
    base: dict[str, object] = {"preset": preset_of(family).name}
    return resolved(worker_data.spec(base, adaptation={"method": method, **parts}, **fields))


def resolved(asked: Spec, family: Family | None = None) -> Spec:
    """Every choice made, on data of which nothing is known. family: where the trainer knows it."""
    return resolve(asked, DatasetFacts(frozenset(), {"train": 1}), family=family)


def built(family: Family, *trains: str, method: Method = Method.FULL) -> build.Built:
    """The preset, ready to be trained."""
    return build.build(spec_of(family, *trains, method=method), build.Sources(texts=worker_data.texts()))


def switched(family: Family, method: str, parts: Mapping[str, Any] = {}, **numbers: Any) -> build.Built:
    """The preset adapted part by part, also by adapters, which could not be loaded without its weights."""
    fields: dict[str, Any] = {"hyperparameters": numbers, "adaptation": {"method": method, **parts}}
    asked = worker_data.spec({"preset": preset_of(family).name}, **fields)
    return build.build(resolved(asked), build.Sources(texts=worker_data.texts()))


@cache
def whole(family: Family) -> build.Built:
    """The preset with all parts training; shared, so not to be trained."""
    return built(family, *family.parts.names)


def objective(family: Family, made: build.Built) -> Objective[Any, Any]:
    """The family's objective for a built model."""
    return objectives.of(made, spec_of(family, *PARTS))


def training(family: Family, made: build.Built, learning_rate: float = 1e-3) -> loop.Training:
    """A training of a few steps at one learning rate."""
    flat = {"schedule": "SCHEDULE_CONSTANT", "warmup_ratio": 0.0, "weight_decay": 0.0}
    spec = spec_of(family, *PARTS, hyperparameters={"learning_rate": learning_rate, **flat})
    order = Order((64,), 2, 1, seed=7)
    return loop.Training(made, objective(family, made), spec.hyperparameters, order, total_steps=10)


def text(role: str, words: str, pictures: int = 0) -> dict[str, Any]:
    """A message, pictures first."""
    places = [{"type": "image", "text": None}] * pictures
    return {"role": role, "content": [*places, {"type": "text", "text": words}]}


def chat(number: int) -> Example:
    """Conversations without pictures, of unlike length."""
    digit = number % 10
    words = worker_data.word(digit)
    messages = [text("user", f"What follows{' the digit' * (number % 3)} {words}?"), text("assistant", words)]
    return Example(f"v/examples/{number}", f"chat-{number}", [], messages)


def scan(number: int, size: tuple[int, int] | None = None) -> bytes:
    """A scan of a digit, upright, or wider, or higher than it is wide."""
    buffer = io.BytesIO()
    size = size or ((32, 32), (64, 40), (36, 60))[number % 3]
    Image.open(io.BytesIO(worker_data.scans()[number][0])).resize(size).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(number: int, size: tuple[int, int] | None = None) -> Example:
    """Conversations about a scan of a digit."""
    row: Any = worker_data.row(number, question="Which digit" + ", in one word" * (number % 2) + "?")
    return Example(f"v/examples/{number}", row["id"], [scan(number, size)], row["messages"])


def two_pictures(number: int) -> Example:
    """Conversations about two scans, of two turns."""
    first, second = (worker_data.word(worker_data.scans()[place][1]) for place in (number, number + 1))
    messages = [
        *(text("user", "And this?", 1), text("assistant", first)),
        *(text("user", "And this?", 1), text("assistant", f"{second}, I think")),
    ]
    return Example(f"v/examples/{number}", f"two-{number}", [scan(number), scan(number + 1)], messages)


def video(number: int) -> Example:
    """Conversations about a video of four frames."""
    frames = [worker_data.scans()[number + place][0] for place in range(4)]
    messages = [text("user", "What happens?", len(frames)), text("assistant", "Digits pass.")]
    return Example(f"v/examples/{number}", f"video-{number}", frames, messages, videos={0: len(frames)})


def captioned(number: int) -> Example:
    """A scan with captions of unlike length."""
    return pairs.example(pairs.captioned(number, "a {}", f"the scan {number}, a handwritten {{}}"))


def retrieval(number: int) -> Example:
    """A query with a scan that it shall find and up to two that it shall not; no other example is it."""
    return pairs.example(pairs.page(500 + number, negatives=number % 3))


# What keeps a model from asking for what only a loss needs.
PLAIN = {"flava": {"return_loss": False}}
# What of a model's output says what it makes of its input.
OUTPUTS = ("logits", "embeddings", "image_embeds", "text_embeds", "image_embeddings", "text_embeddings")
EXAMPLES: Mapping[Kind, Callable[[int], Example]] = {
    Kind.CHAT_WITH_IMAGES: pictures,
    Kind.CHAT: chat,
    Kind.CHAT_WITH_VIDEO: video,
    Kind.CAPTIONED_IMAGE: captioned,
    Kind.RETRIEVAL: retrieval,
}


def kinds(family: Family) -> list[Kind]:
    """What the family takes; a pair of answers is a conversation to it."""
    return [kind for kind in family.takes if kind in EXAMPLES]


def examples(family: Family, each: int = 2) -> list[Example]:
    """So many of every kind that the family takes."""
    return [EXAMPLES[kind](number) for kind in kinds(family) for number in range(each)]


def batch(family: Family, made: build.Built, given: Sequence[Example] | None = None) -> Batch:
    """Examples as the model takes them."""
    found = objective(family, made)
    collated: Batch = found.collate(found.encode(given or examples(family)))
    return collated


def steps(family: Family, made: build.Built, count: int, first: int = 0) -> list[list[Batch]]:
    """The batches of so many steps: examples of every kind in each."""
    return [
        [batch(family, made, [EXAMPLES[kind](2 * step + nth) for kind in kinds(family) for nth in range(2)])]
        for step in range(first, first + count)
    ]


def outputs(model: Any, given: Batch) -> torch.Tensor:
    """What a model makes of a batch: logits, or the embeddings of its pictures and texts."""
    texts, images = of(TEXT, given.inputs), of(IMAGE, given.inputs)
    calls = (
        [given.inputs] if not texts else [texts, images] if "input_ids" in images else [{**texts, **images}]
    )
    with torch.inference_mode():
        found = [model.eval()(**inputs, **PLAIN.get(model.config.model_type, {})) for inputs in calls]
    return torch.cat([each[name].flatten() for each in found for name in OUTPUTS if name in each])


def count_of_pictures(made: build.Built, encoded: Encoded) -> int:
    """Tokens of an example that stand for pictures."""
    return int((encoded.input_ids == made.processor.image_token_id).sum())
