"""Models of every family of the table, built from their smallest presets, and examples that they take."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import Preset
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Method, Spec
from visiontune_worker import build, loop, objectives
from visiontune_worker.objectives.objective import Batch, Objective
from visiontune_worker.order import Order
from visiontune_worker.shards import Example

from tests.support import worker_data

PARTS = ("vision_tower", "projector", "language_model")
# Those with a preset: a family without one has tests of its own.
WITH_PRESET = {name: family for name, family in FAMILIES.items() if family.presets}


def preset_of(family: Family) -> Preset:
    """The family's smallest preset."""
    return min(family.presets, key=lambda preset: preset.parameter_count)


def spec_of(family: Family, *trains: str, method: Method = Method.FULL, **fields: Any) -> Spec:
    """A resolved spec of the preset, of which these parts train."""
    parts = {part: "PART_TRAIN" if part in trains else "PART_FREEZE" for part in PARTS}
    base: dict[str, object] = {"preset": preset_of(family).name}
    asked = worker_data.spec(base, adaptation={"method": method, **parts}, **fields)
    return resolve(asked, DatasetFacts(frozenset(), {"train": 1}))


def built(family: Family, *trains: str, method: Method = Method.FULL) -> build.Built:
    """The preset, ready to be trained."""
    return build.build(spec_of(family, *trains, method=method), build.Sources(texts=worker_data.texts()))


@cache
def whole(family: Family) -> build.Built:
    """The preset with all parts training; shared, so not to be trained."""
    return built(family, *family.parts.names)


def objective(family: Family, made: build.Built) -> Objective[Any, Any]:
    """The family's objective for a built model."""
    return objectives.of(made, spec_of(family, *PARTS))


def training(family: Family, made: build.Built) -> loop.Training:
    """A training of a few steps."""
    numbers = spec_of(family, *PARTS, hyperparameters={"learning_rate": 1e-3}).hyperparameters
    return loop.Training(made, objective(family, made), numbers, Order((64,), 2, 1, seed=7), total_steps=10)


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


def pictures(number: int) -> Example:
    """Conversations about a scan of a digit."""
    row: Any = worker_data.row(number, question="Which digit" + ", in one word" * (number % 2) + "?")
    return Example(f"v/examples/{number}", row["id"], [row["images"][0]["bytes"]], row["messages"])


def video(number: int) -> Example:
    """Conversations about a video of four frames."""
    frames = [worker_data.scans()[number + place][0] for place in range(4)]
    messages = [text("user", "What happens?", len(frames)), text("assistant", "Digits pass.")]
    return Example(f"v/examples/{number}", f"video-{number}", frames, messages, {0: len(frames)})


EXAMPLES: Mapping[Kind, Callable[[int], Example]] = {
    Kind.CHAT_WITH_IMAGES: pictures,
    Kind.CHAT: chat,
    Kind.CHAT_WITH_VIDEO: video,
}


def examples(family: Family, each: int = 2) -> list[Example]:
    """So many of every kind that the family takes."""
    return [EXAMPLES[kind](number) for kind in family.takes for number in range(each)]


def batch(family: Family, made: build.Built, given: Sequence[Example] | None = None) -> Batch:
    """Examples as the model takes them."""
    found = objective(family, made)
    collated: Batch = found.collate(found.encode(given or examples(family)))
    return collated


def steps(family: Family, made: build.Built, count: int, first: int = 0) -> list[list[Batch]]:
    """The batches of so many steps: examples of every kind in each."""
    return [
        [batch(family, made, [EXAMPLES[kind](2 * step + nth) for kind in family.takes for nth in range(2)])]
        for step in range(first, first + count)
    ]


def outputs(model: Any, given: Batch) -> torch.Tensor:
    """What a model makes of a batch: logits, or the embeddings of its pictures and texts."""
    with torch.inference_mode():
        found = model.eval()(**given.inputs)
    names = [name for name in ("logits", "embeddings", "image_embeds", "text_embeds") if name in found]
    return torch.cat([found[name].flatten() for name in names])
