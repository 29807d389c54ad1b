"""What families promise of packed examples and of features that are kept: neither changes what is learnt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from visiontune_recipes.families import Family
from visiontune_worker.features import FEATURES, Features, Store, Tower, in_place_of_pictures
from visiontune_worker.objectives import causal_lm
from visiontune_worker.objectives.causal_lm import Encoded

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


@pytest.mark.parametrize("family", KEEPING.values(), ids=KEEPING.keys())
def test_kept_features_stand_for_pictures_in_loss_and_gradient(family: Family, tmp_path: Path) -> None:
    made = families.built(family, "projector", "language_model")
    causal: Any = objective(family, made)
    tower = Tower(made)
    features = Features(tower, Store(tmp_path, 10**9))
    encoded = causal.encode([families.pictures(0), families.chat(1), families.pictures(2)])
    live = _measured(made, causal, encoded)
    made.given_to_model = tower.given_to_model
    for attempt in ("made", "read"):
        replaced = [_with_features(each, features) for each in encoded]
        assert FEATURES in replaced[0].vision
        assert "pixel_values" not in replaced[0].vision
        loss, gradients = _measured(made, causal, replaced)
        assert loss == pytest.approx(live[0], abs=1e-5), attempt
        assert gradients.keys() == live[1].keys()
        assert all(torch.allclose(each, live[1][name], atol=1e-5) for name, each in gradients.items())


def _with_features(encoded: Encoded, features: Features) -> Encoded:
    if not encoded.vision:
        return encoded
    found, _ = features.of(encoded.vision, features.key([encoded.name.encode()]))
    return replace(encoded, vision=in_place_of_pictures(encoded.vision, found))


def _measured(made: Any, causal: Any, encoded: list[Encoded]) -> tuple[float, dict[str, torch.Tensor]]:
    made.train()
    loss = causal.loss(made.model, causal.collate(encoded)).summed
    loss.backward()
    gradients = {name: each.grad.clone() for name, each in made.trainable().items() if each.grad is not None}
    made.model.zero_grad(set_to_none=True)
    return loss.item(), gradients
