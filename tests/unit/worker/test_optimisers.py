"""Which parameters learn alike, by which optimiser, and what of its memory a later job takes over."""

import importlib.util
from copy import deepcopy
from typing import Any

import pytest
import torch
from visiontune_recipes.spec import Hyperparameters, Optimiser
from visiontune_worker.faults import EnvironmentFault
from visiontune_worker.optimisers import groups, optimiser, restore


def parameters() -> dict[str, torch.nn.Parameter]:
    """A matrix and a bias in each of two parts, and one of no part."""
    shapes: dict[str, tuple[int, ...]] = {
        "tower.w": (3, 2),
        "tower.b": (3,),
        "speech.w": (2, 3),
        "speech.b": (2,),
        "scale": (1,),
    }
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()
    }


def part_of(name: str) -> str | None:
    return {"tower": "vision_tower", "speech": "language_model"}.get(name.partition(".")[0])


def numbers(**fields: Any) -> Hyperparameters:
    return Hyperparameters.model_validate({"learning_rate": 0.1, "weight_decay": 0.5, **fields})


def seen(asked: Hyperparameters) -> list[tuple[int, float, float]]:
    return [
        (len(each["params"]), each["weight_decay"], each["peak"])
        for each in groups(parameters(), asked, part_of)
    ]


def test_biases_and_norms_do_not_decay() -> None:
    assert seen(numbers()) == [(2, 0.5, 0.1), (3, 0.0, 0.1)]


def test_a_part_with_a_rate_of_its_own_has_groups_of_its_own() -> None:
    asked = numbers(learning_rates={"vision_tower": 0.01})
    assert seen(asked) == [(1, 0.5, 0.1), (2, 0.0, 0.1), (1, 0.5, 0.01), (1, 0.0, 0.01)]
    # Also when it is the same rate: what is resumed may have another one.
    same = numbers(learning_rates={"vision_tower": 0.1})
    assert [count for count, _, _ in seen(same)] == [count for count, _, _ in seen(asked)]


def step(made: torch.optim.Optimizer, given: dict[str, torch.nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(1)
    for each in given.values():
        each.grad = torch.randn(each.shape, generator=generator)
    made.step()


@pytest.mark.parametrize("kind", [Optimiser.ADAMW, Optimiser.ADAFACTOR])
def test_what_it_remembers_is_taken_over_and_its_numbers_are_its_own(kind: Optimiser) -> None:
    first, again, fresh = parameters(), parameters(), parameters()
    made = optimiser(first, numbers(optimiser=kind), part_of)
    step(made, first)
    state = deepcopy(made.state_dict())
    step(made, first)
    resumed = optimiser(again, numbers(optimiser=kind, weight_decay=0.5), part_of)
    step(resumed, again)
    restore(resumed, state)
    step(resumed, again)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = optimiser(fresh, numbers(optimiser=kind, weight_decay=0.25), part_of)
    restore(other, state)
    assert [group["weight_decay"] for group in other.param_groups] == [0.25, 0.0]


def test_an_optimiser_learns() -> None:
    for kind in (Optimiser.ADAMW, Optimiser.ADAFACTOR):
        given = {"w": torch.nn.Parameter(torch.ones(4, 4))}
        made = optimiser(given, numbers(optimiser=kind, weight_decay=0.0), part_of)
        losses = []
        for _ in range(20):
            loss = (given["w"] ** 2).sum()
            losses.append(loss.item())
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            made.step()
            made.zero_grad()
        assert losses[-1] < 0.2 * losses[0]


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed here")
def test_a_library_that_is_not_installed_is_named_with_what_works() -> None:
    with pytest.raises(EnvironmentFault, match="OPTIMISER_ADAFACTOR") as missing:
        optimiser(parameters(), numbers(optimiser=Optimiser.ADAMW_8BIT), part_of)
    assert missing.value.reason == "BITSANDBYTES_MISSING"
