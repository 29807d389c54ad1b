"""The objective of pairs on a small model: what it minimises, and against what."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.spec import Method
from visiontune_worker import build, loop, objectives
from visiontune_worker.faults import DataFault
from visiontune_worker.objectives.preference import Preference, log_probabilities, preference_loss
from visiontune_worker.order import Order
from visiontune_worker.shards import Example

from tests.support import families, worker_data

LLAVA = FAMILIES["llava"]
PARTS = ("projector", "language_model")


def pair(number: int) -> Example:
    """A scan of a digit, what it is, and what it is not."""
    digit = worker_data.scans()[number][1]
    return replace(families.pictures(number), texts=[worker_data.word((digit + 1) % 10)])


def made(method: Method = Method.FULL, **fields: Any) -> tuple[build.Built, Preference]:
    """A model and its objective."""
    spec = families.spec_of(
        LLAVA, *PARTS, method=method, objective="OBJECTIVE_PREFERENCE", preference=fields or None
    )
    built = families.built(LLAVA, *PARTS, method=method)
    found = objectives.of(built, spec)
    assert isinstance(found, Preference)
    return built, found


def shaken(built: build.Built) -> None:
    """Changes every weight that trains."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in built.trainable().values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))


def test_the_loss_is_that_of_the_paper() -> None:
    margins = torch.tensor([0.0, 2.0, -1.0])
    expected = [math.log(1 + math.exp(-margin)) for margin in margins.tolist()]
    assert preference_loss(margins).tolist() == pytest.approx(expected)
    flipped = [math.log(1 + math.exp(margin)) for margin in margins.tolist()]
    smoothed = [0.9 * right + 0.1 * wrong for right, wrong in zip(expected, flipped, strict=True)]
    assert preference_loss(margins, label_smoothing=0.1).tolist() == pytest.approx(smoothed)


@pytest.mark.parametrize("method", [Method.FULL, Method.LORA])
def test_at_first_no_answer_is_preferred_and_later_the_reference_stays(method: Method) -> None:
    built, objective = made(method)
    built.train()
    batch = objective.collate(objective.encode([pair(number) for number in range(3)]))
    assert objective.loss(built.model, batch).summed.item() == pytest.approx(3 * math.log(2), abs=1e-5)
    with torch.no_grad(), objective._reference() as reference:
        before = log_probabilities(reference, batch)
    shaken(built)
    with torch.no_grad(), objective._reference() as reference:
        assert torch.equal(log_probabilities(reference, batch), before)
    assert not torch.equal(log_probabilities(built.model, batch), before)
    assert all(weight.requires_grad for weight in built.trainable().values())


@pytest.mark.parametrize("target", ["", r"model\.language_model\.embed_tokens"])
def test_an_adapter_that_was_trained_before_is_its_own_reference(target: str) -> None:
    built = families.switched(LLAVA, Method.LORA, {"lora": {"target_modules": target}})
    shaken(built)
    objective = Preference(built, families.spec_of(LLAVA, *PARTS, method=Method.LORA))
    batch = objective.collate(objective.encode([pair(0)]))
    assert objective.loss(built.model, batch).summed.item() == pytest.approx(math.log(2), abs=1e-5)


def test_only_last_answers_and_their_stop_tokens_count_and_pictures_are_in_both() -> None:
    built, objective = made()
    asked, answer = families.pictures(0).messages
    longer = replace(pair(0), messages=[asked, answer, families.text("user", "Sure?"), answer])
    encoded = objective.encode([pair(1), longer])
    batch = objective.collate(encoded)
    assert (batch.weight, batch.examples, len(batch.inputs["input_ids"])) == (2, 2, 4)
    ids = [row[kept] for row, kept in zip(batch.inputs["input_ids"], batch.trained, strict=True)]
    words = [worker_data.word(worker_data.scans()[number][1]) for number in (1, 0)]
    wrong = [worker_data.word((worker_data.scans()[number][1] + 1) % 10) for number in (1, 0)]
    assert built.processor.tokenizer.batch_decode(ids) == [f"{word}</s>" for word in words + wrong]
    pictures = batch.inputs["pixel_values"]
    assert torch.equal(pictures[:2], pictures[2:])
    # And so they are shown.
    shown = [objective.model_inputs(each) for each in encoded]
    in_order = [each[answer] for answer in range(2) for each in shown]
    for each, row, kept in zip(in_order, batch.inputs["input_ids"], batch.trained, strict=True):
        assert each.input_ids is not None
        assert each.trained is not None
        assert torch.equal(each.input_ids[each.trained], row[kept])


def test_training_widens_the_margin() -> None:
    built, objective = made(beta=0.5)
    numbers = families.spec_of(LLAVA, *PARTS, hyperparameters={"learning_rate": 1e-3}).hyperparameters
    training = loop.Training(built, objective, numbers, Order((64,), 8, 1, seed=7), total_steps=8)
    held_out = [objective.encode([pair(number) for number in range(100, 108)])]

    def measured() -> Any:
        built.model.eval()
        with torch.inference_mode():
            return objective.result([objective.measure(built.model, iter(held_out))])

    before = measured()
    assert before.metrics["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert before.metrics["preference_accuracy"] == 0
    built.train()
    for step in range(8):
        training.advance([objective.collate(objective.encode([pair(8 * step + n) for n in range(8)]))])
    after = measured()
    assert after.metrics["loss"] < before.metrics["loss"]
    assert after.metrics["reward_margin"] > 0
    assert after.metrics["preference_accuracy"] > 0.5
    assert set(after.answers) == {families.pictures(number).name for number in range(100, 108)}


def test_an_example_without_a_rejected_answer_is_named() -> None:
    _, objective = made()
    with pytest.raises(DataFault, match="digit-0000"):
        objective.encode([families.pictures(0)])
