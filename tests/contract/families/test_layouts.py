"""What families promise of packed examples and of features that are kept: neither changes what is learnt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from visiontune_recipes.facts import Kind
from visiontune_recipes.families import Family
from visiontune_worker.features import Features, Store
from visiontune_worker.objectives import causal_lm
from visiontune_worker.objectives.causal_lm import Encoded
from visiontune_worker.tower import Tower, pictures

from tests.support import families
from tests.support.families import WITH_PRESET, objective, whole

PACKING = {name: family for name, family in WITH_PRESET.items() if family.packs}
KEEPING = {name: family for name, family in WITH_PRESET.items() if family.features_before}


@pytest.mark.parametrize("family", PACKING.values(), ids=PACKING.keys())
def test_packed_examples_of_every_kind_are_what_they_are_alone(family: Family) -> None:
    made = whole(family)
    model: Any = made.model.eval()
    encoded: list[Encoded] = objective(family, made).encode(families.examples(family))
    with torch.inference_mode():
        alone = sum(causal_lm.loss(model, causal_lm.collate([each], made.pad_id)).summed for each in encoded)
        packed = causal_lm.loss(model, causal_lm.packed(encoded, model)).summed
        assert packed.item() == pytest.approx(float(alone), abs=1e-4)
        behind = [
            model(**causal_lm.packed(pair, model).inputs, use_cache=False).logits[0, pair[0].length :]
            for pair in ([encoded[0], encoded[-1]], [encoded[1], encoded[-1]])
        ]
    assert torch.allclose(behind[0], behind[1], atol=1e-5)


# Rows differ in how a model comes from pictures to tokens: this one has videos, and is read at several places
# of its tower.
@pytest.mark.parametrize("family", families.often(KEEPING, {"qwen3_vl"}))
def test_kept_features_stand_for_pictures_in_loss_and_gradient(family: Family, tmp_path: Path) -> None:
    made = families.built(family, "projector", "language_model")
    found = objective(family, made)
    examples = families.examples(family)
    if Kind.CHAT_WITH_IMAGES in family.takes and not family.most_messages:
        examples.append(families.two_pictures(3))
    encoded = found.encode(examples)
    live = _measured(made, found, encoded)
    tower = Tower(made)
    made.given_to_model = tower.given_to_model
    features = Features(tower, Store(tmp_path, 10**9))
    kept = [features.in_place(each, example) for each, example in zip(encoded, examples, strict=True)]
    again = [features.again(Features.without(each), keys) if keys else each for each, keys in kept]
    spared = _calls(made)
    for replaced in ([each for each, _ in kept], again):
        assert _pixels(replaced) < _pixels(encoded) / 50
        loss, gradients = _measured(made, found, replaced)
        assert loss == pytest.approx(live[0], abs=1e-5)
        assert gradients.keys() == live[1].keys()
        assert all(torch.allclose(each, live[1][name], atol=1e-5) for name, each in gradients.items())
    assert spared == []


def _pixels(encoded: Sequence[Any]) -> int:
    """Numbers that stand where pictures did."""
    return sum(view[name].numel() for each in encoded for view in each.views() for name in pictures(view))


def _calls(made: Any) -> list[None]:
    """Grows when a matrix of the tower is used."""
    calls: list[None] = []
    for name, module in made.model.named_modules():
        if made.family.parts.part_of(f"{name}.") == "vision_tower" and isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda *_: calls.append(None))
    return calls


def _measured(made: Any, found: Any, encoded: Sequence[Any]) -> tuple[float, dict[str, torch.Tensor]]:
    made.train()
    batch = found.collate(encoded)
    loss = found.backward(made, [batch], batch.weight)
    gradients = {name: each.grad.clone() for name, each in made.trainable().items() if each.grad is not None}
    made.model.zero_grad(set_to_none=True)
    return loss.item(), gradients
