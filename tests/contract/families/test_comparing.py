"""What holds for every family that compares: what it measures, that padding is nothing, its temperature."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from visiontune_recipes.families import Family
from visiontune_recipes.objectives import OBJECTIVES
from visiontune_worker.objectives.comparing import Comparing
from visiontune_worker.objectives.pairs import IMAGE, TEXT, of

from tests.support import families
from tests.support.families import WITH_PRESET, objective, whole

COMPARING = {name: each for name, each in WITH_PRESET.items() if OBJECTIVES[each.objective].couples_examples}
pytestmark = pytest.mark.parametrize("family", COMPARING.values(), ids=COMPARING.keys())


def comparing(family: Family) -> Comparing:
    made = whole(family)
    made.model.eval()
    found: Any = objective(family, made)
    assert isinstance(found, Comparing)
    return found


def test_evaluation_measures_what_its_objective_promises(family: Family) -> None:
    found = comparing(family)
    encoded = found.encode(families.examples(family, 4))
    with torch.inference_mode():
        result = found.result([found.measure(found.built.model, [encoded[:3], encoded[3:]])])
    assert tuple(result.metrics) == OBJECTIVES[family.objective].metrics
    assert result.answers.keys() == {each.name for each in encoded}
    assert all(answer.startswith("1. ") for answer in result.answers.values())
    assert all(each.prompt and each.expected for each in encoded)


def test_padding_changes_no_likeness(family: Family) -> None:
    found = comparing(family)
    encoded = found.encode(families.examples(family, 3))
    batches = [found.collate(encoded), *(found.collate([each]) for each in encoded)]

    def alike(batch: Any) -> Tensor:
        texts, images = found.texts(of(TEXT, batch.inputs)), found.images(of(IMAGE, batch.inputs))
        return found.alike(texts, images).diagonal()

    with torch.inference_mode():
        together, *alone = map(alike, batches)
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_the_temperature_stays_within_bounds(family: Family) -> None:
    made = families.built(family, *family.parts.names)
    training = families.training(family, made, learning_rate=1.0)
    objective: Any = training.objective
    if not (own := objective.own_parameters()):
        pytest.skip(f"the temperature of {family.name} is fixed")
    for start in (math.log(100) - 0.01, 0.01):
        own[0].data.fill_(start)
        for step in families.steps(family, made, 3):
            training.advance(step)
            assert 0 <= own[0].item() <= math.log(100) + 1e-6
