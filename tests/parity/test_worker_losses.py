"""Our loop and a plain transformers loop, side by side on the same batches: the same losses to 1e-5."""

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Spec
from visiontune_worker import build, checkpoints, loop, objectives
from visiontune_worker.data import Examples, plan
from visiontune_worker.order import Order

from tests.support import worker_data

STEPS = 10


def plain_losses(
    model: Any, processor: Any, rows: list[dict[str, Any]], batches: list[list[int]], spec: Spec
) -> list[float]:
    """What anyone would write with transformers alone: template, labels, model(**batch).loss."""
    numbers: Any = spec.hyperparameters
    decays: Any = [each for each in model.parameters() if each.ndim >= 2]
    stays: Any = [each for each in model.parameters() if each.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decays, "weight_decay": numbers.weight_decay}, {"params": stays, "weight_decay": 0.0}],
        lr=numbers.learning_rate,
    )
    warmup = round(numbers.warmup_ratio * 100)
    losses = []
    model.train()
    for step, chosen in enumerate(batches):
        messages = [plain_messages(rows[index]) for index in chosen]
        batch = processor.apply_chat_template(
            messages,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "right"},
        )
        labels = batch["input_ids"].masked_fill(batch.pop("assistant_masks") == 0, -100)
        for group in optimiser.param_groups:
            group["lr"] = numbers.learning_rate * (step + 1) / (warmup + 1)
        loss = model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), numbers.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


def plain_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    images = iter(row["images"])
    return [
        {
            "role": message["role"],
            "content": [
                {"type": "image", "image": Image.open(io.BytesIO(next(images)["bytes"]))}
                if part["type"] == "image"
                else part
                for part in message["content"]
            ],
        }
        for message in row["messages"]
    ]


def answer(digit: int) -> str:
    """Answers of unlike length, so that batches are padded and tokens are not evenly spread."""
    return worker_data.word(digit) * (1 + digit % 3)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_first_ten_losses_are_those_of_a_plain_loop(tmp_path: Path, accumulation: int) -> None:
    rows: list[dict[str, Any]] = [worker_data.row(index, answer) for index in range(500)]
    manifest = worker_data.write_shards(tmp_path / "data", rows, shards=2)
    asked = worker_data.spec(
        hyperparameters={"batch_size": 32 // accumulation, "gradient_accumulation_steps": accumulation}
    )
    spec = resolve(asked, manifest.facts)
    shards = worker_data.local_shards(manifest, tmp_path / "data", tmp_path / "scratch")
    built = build.build(spec, build.Sources(texts=worker_data.texts()))
    objective = objectives.of(built, spec)
    examples = Examples(shards, "train", objective, cache_bytes=10**8)
    order = Order(shards.counts("train"), 32 // accumulation, accumulation, seed=7)

    plain = plain_losses(
        copy.deepcopy(built.model), built.processor, rows, indices(order, rows, shards=2), spec
    )
    training = loop.Training(built, objective, spec.hyperparameters, order, total_steps=100)
    built.train()
    ours = [
        training.advance(batches)[0].item()
        for batches in map(examples.batches, plan(shards, order, start=0, stop=STEPS))
    ]

    assert ours == pytest.approx(plain, abs=1e-5)
    assert plain[-1] < plain[0]


def test_dropout_draws_the_same_after_a_resume(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [worker_data.row(index) for index in range(100)]
    manifest = worker_data.write_shards(tmp_path / "data", rows)
    lora = {"rank": 4, "alpha": 8, "dropout": 0.5}
    asked = worker_data.spec(adaptation={"method": "METHOD_LORA", "lora": lora})
    spec = resolve(asked, manifest.facts)
    shards = worker_data.local_shards(manifest, tmp_path / "data", tmp_path / "scratch")

    def training() -> loop.Training:
        built = build.build(spec, build.Sources(texts=worker_data.texts()))
        order = Order(shards.counts("train"), 8, 1, seed=7)
        built.train()
        return loop.Training(built, objectives.of(built, spec), spec.hyperparameters, order, total_steps=10)

    def losses(trained: loop.Training, stop: int) -> list[float]:
        examples = Examples(shards, "train", trained.objective, cache_bytes=10**8)
        steps = map(examples.batches, plan(shards, trained.order, start=trained.step, stop=stop))
        return [trained.advance(batches).loss.item() for batches in steps]

    straight = losses(training(), 6)
    first = training()
    before = losses(first, 3)
    checkpoints.write(first, spec, "sha256:0", tmp_path / "checkpoint")
    torch.manual_seed(99)
    second = training()
    checkpoints.read(second, tmp_path / "checkpoint")
    assert [*before, *losses(second, 6)] == straight


def indices(order: Order, rows: list[dict[str, Any]], shards: int) -> list[list[int]]:
    """The rows of each of the first steps, found from the order alone."""
    half = len(rows) // shards
    train = [
        [index for index in range(shard * half, (shard + 1) * half) if rows[index]["split"] == "train"]
        for shard in range(shards)
    ]
    places = order.epoch(0)
    return [
        [train[shard][nth] for batch in order.batches(places, step) for shard, nth in batch]
        for step in range(STEPS)
    ]
