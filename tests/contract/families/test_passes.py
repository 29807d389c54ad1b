"""What a pass through an adapted model keeps, at which precision, and what learns at which rate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.spec import Hyperparameters, Precision
from visiontune_worker import build, modules
from visiontune_worker.adapt import checkpoint_activations
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.loop import Training
from visiontune_worker.order import Order

from tests.support import families, worker_data
from tests.support.families import WITH_PRESET, batch, steps, switched
from tests.support.worker_layers import save_base

LLAVA = FAMILIES["llava"]
ROWS = [
    pytest.param(each, id=each.name, marks=() if each is LLAVA else pytest.mark.slow)
    for each in WITH_PRESET.values()
]
TOWER_ADAPTED = {"vision_tower": "PART_LORA", "projector": "PART_FREEZE", "language_model": "PART_LORA"}


def gradients(made: build.Built) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    """Loss and gradients of one pass in training mode."""
    made.train()
    torch.manual_seed(5)
    loss = families.objective(made.family, made).loss(made.model, batch(made.family, made)).summed
    torch.autograd.backward(loss)
    return loss.detach(), {name: each.grad for name, each in made.trainable().items()}


@pytest.mark.parametrize("method", ["METHOD_FULL", "METHOD_LORA"])
@pytest.mark.parametrize("family", ROWS)
def test_activations_that_are_computed_again_change_no_loss_and_no_gradient(
    family: Family, method: str
) -> None:
    if method not in family.methods:
        pytest.skip(f"{family.name} does not offer it")
    parts = TOWER_ADAPTED if method == "METHOD_LORA" and family.lora.vision_tower else {}
    kept, again = (
        gradients(switched(family, method, parts, gradient_checkpointing=each)) for each in (False, True)
    )
    assert torch.equal(kept[0], again[0])
    for name, gradient in kept[1].items():
        # Also in the tower, behind an input that needs no gradient.
        assert gradient is not None, name
        other = again[1][name]
        assert other is not None, name
        assert torch.equal(gradient, other), name


@pytest.mark.parametrize("again", [False, True])
def test_a_frozen_tower_keeps_no_activations_and_works_as_when_used(again: bool) -> None:
    made = switched(LLAVA, "METHOD_LORA", gradient_checkpointing=again)
    seen = []
    [tower] = modules.roots(made.model, LLAVA.parts, frozenset({"vision_tower"}))
    made.model.get_submodule(tower).register_forward_hook(
        lambda module, _, output: seen.append((module.training, output.last_hidden_state.requires_grad))
    )
    gradients(made)
    assert seen == [(False, False)]


def test_a_model_none_of_whose_parts_can_is_named() -> None:
    with pytest.raises(ConfigurationFault, match="batch_size") as cannot:
        checkpoint_activations(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    assert cannot.value.reason == "NO_GRADIENT_CHECKPOINTING"


def losses(**numbers: Any) -> list[float]:
    """Of three steps of a model that trains whole."""
    made = switched(LLAVA, "METHOD_FULL", **numbers)
    training = families.training(LLAVA, made)
    made.train()
    assert {each.dtype for each in made.model.parameters()} == {torch.float32}
    assert training.scaler.is_enabled() == (made.precision is Precision.FP16)
    return [training.advance(each).loss.item() for each in steps(LLAVA, made, 3)]


def test_what_trains_is_float32_whatever_the_precision_of_the_passes() -> None:
    exact = losses()
    for precision in (Precision.BF16, Precision.FP16):
        rounded = losses(precision=precision)
        assert rounded != exact
        assert rounded == pytest.approx(exact, rel=0.02)


def test_a_tower_that_trains_whole_beside_adapters_runs_at_16_bits(tmp_path: Path) -> None:
    # LLaVA's has a norm that leads nowhere, and is run all the same.
    adaptation = {"method": "METHOD_LORA", "vision_tower": "PART_FULL"}
    asked = worker_data.spec(
        {"path": str(save_base(tmp_path / "base"))},
        adaptation=adaptation,
        hyperparameters={"precision": "PRECISION_BF16"},
    )
    made = build.build(families.resolved(asked), build.Sources(roots=(tmp_path,)))
    training = families.training(LLAVA, made)
    made.train()
    assert training.advance(steps(LLAVA, made, 1)[0]).loss.isfinite()


def test_a_step_whose_gradients_are_no_numbers_is_left_out_in_float16() -> None:
    made = switched(LLAVA, "METHOD_FULL", precision="PRECISION_FP16")
    training = families.training(LLAVA, made)
    made.train()
    before = {name: each.detach().clone() for name, each in made.trainable().items()}
    scale = training.scaler.get_scale()
    weight: Any = next(iter(made.trainable().values()))
    weight.register_hook(lambda gradient: gradient * float("inf"))
    training.advance(steps(LLAVA, made, 1)[0])
    assert all(torch.equal(before[name], each) for name, each in made.trainable().items())
    assert training.scaler.get_scale() == scale / 2


def test_a_part_learns_at_its_own_rate() -> None:
    numbers = {"learning_rate": 1e-3, "learning_rates": {"projector": 0.5e-3}, "warmup_ratio": 0.0}
    made = switched(LLAVA, "METHOD_FULL")
    training = Training(
        made,
        families.objective(LLAVA, made),
        Hyperparameters.model_validate({**numbers, "weight_decay": 0.0}),
        Order((64,), 2, 1, seed=7),
        total_steps=10,
    )
    made.train()
    before = {name: each.detach().clone() for name, each in made.trainable().items()}
    training.advance(steps(LLAVA, made, 1)[0])
    # AdamW's first step moves a weight by its rate.
    moved: dict[str | None, float] = {}
    for name, each in made.trainable().items():
        part = LLAVA.parts.part_of(name)
        moved[part] = max(moved.get(part, 0.0), (each.detach() - before[name]).abs().max().item())
    assert moved == pytest.approx(
        {"vision_tower": 1e-3, "projector": 0.5e-3, "language_model": 1e-3}, rel=0.01
    )
