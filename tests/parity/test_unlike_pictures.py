"""Pictures of unlike shapes: the first losses are those of batches that the family's own processor pads."""

import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from visiontune_recipes.families import FAMILIES, Family
from visiontune_worker import loop, objectives
from visiontune_worker.order import Order
from visiontune_worker.shards import Example

from tests.support import families

STEPS, EACH = 10, 2
RATE, WARMUP, NORM, DECAY = 1e-3, 0.1, 1.0, 0.01


def sized(number: int) -> Example:
    """Scans of unlike shapes, which are cut into unlike numbers of tiles where a family cuts."""
    example = families.pictures(number)
    picture = Image.open(io.BytesIO(example.images[0])).resize(((64, 150), (40, 40), (150, 64))[number % 3])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return replace(example, images=[buffer.getvalue()])


def steps_of(family: Family) -> list[list[Example]]:
    """What each step sees: pictures of unlike shapes, and a few of what else the family takes."""
    return [
        [(sized if kind == "CHAT_WITH_IMAGES" else families.EXAMPLES[kind])(EACH * step + nth)
         for kind in families.kinds(family) for nth in range(EACH)]
        for step in range(STEPS)
    ]  # fmt: skip


def opened(example: Example) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in example.images]


def templated(processor: Any, examples: Sequence[Example]) -> dict[str, Any]:
    """What anyone would do with transformers alone: the chat template, and its mask as labels."""

    def filled(example: Example) -> list[dict[str, Any]]:
        pictures = opened(example)
        question, answer = (message["content"] for message in example.messages)
        said = [part for part in question if part["type"] == "text"]
        seen = [{"type": "image", "image": picture} for picture in pictures]
        return [{"role": "user", "content": [*seen, *said]}, {"role": "assistant", "content": answer}]

    batch = processor.apply_chat_template(
        [filled(example) for example in examples],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        return_tensors="pt",
        processor_kwargs={"padding": True, "padding_side": "right"},
    )
    labels = batch["input_ids"].masked_fill(batch.pop("assistant_masks") == 0, -100)
    return {**batch, "labels": labels}


def suffixed(processor: Any, examples: Sequence[Example]) -> dict[str, Any]:
    """As PaliGemma's own documentation has it: prefix and suffix, and the labels that the processor makes."""
    said = [
        ["".join(part["text"] or "" for part in m["content"]) for m in each.messages] for each in examples
    ]
    return dict(
        processor(
            text=[f"<image>{question}" for question, _ in said],
            images=[opened(each) for each in examples],
            suffix=[answer for _, answer in said],
            padding=True,
            padding_side="right",
            return_tensors="pt",
        )
    )


Batches = Callable[[Any, Sequence[Example]], dict[str, Any]]
PLAIN: dict[str, Batches] = {
    "idefics3": templated,
    "smolvlm": templated,
    "paligemma": suffixed,
    "gemma3": templated,
    "phi4_multimodal": templated,
}


def plain_losses(model: Any, batches: list[dict[str, Any]]) -> list[float]:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [each for each in weights if each.ndim >= 2], "weight_decay": DECAY},
        {"params": [each for each in weights if each.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    warmup = round(WARMUP * 100)
    losses = []
    for step, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (step + 1) / (warmup + 1)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, NORM)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_pictures_of_unlike_shapes_give_the_losses_of_a_plain_loop(name: str) -> None:
    family = FAMILIES[name]
    numbers = {"learning_rate": RATE, "warmup_ratio": WARMUP, "max_grad_norm": NORM, "weight_decay": DECAY}
    spec = families.spec_of(family, *family.parts.names, hyperparameters=numbers)
    built = families.built(family, *family.parts.names)
    built.train()
    plain = copy.deepcopy(built.model)
    steps = steps_of(family)
    objective = objectives.of(built, spec)
    training = loop.Training(
        built, objective, spec.hyperparameters, Order((64,), 2, 1, seed=7), total_steps=100
    )
    ours = [training.advance([objective.collate(objective.encode(step))]).loss.item() for step in steps]
    theirs = plain_losses(plain, [PLAIN[name](built.processor, step) for step in steps])
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours[-1] < ours[0]
