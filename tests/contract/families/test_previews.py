"""Every family's examples are shown as the family is trained on them, by a model without weights."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from visiontune_recipes.families import Family
from visiontune_worker import build, objectives, preview_examples
from visiontune_worker.objectives.objective import ModelInput
from visiontune_worker.spans import picture_ids

from tests.support import families, worker_data

ROWS = families.often(families.WITH_PRESET, (*families.OFTEN, "clip"))


def model_inputs(made: build.Built, family: Family) -> list[Sequence[ModelInput]]:
    objective = objectives.of(made, families.spec_of(family))
    encoded = objective.encode(families.examples(family, 1))
    return [objective.model_inputs(objective.seen(each, 0)) for each in encoded]


@pytest.mark.parametrize("family", ROWS)
def test_a_model_without_weights_encodes_as_the_one_that_trains(family: Family) -> None:
    outline = build.outline(families.spec_of(family), build.Sources(texts=worker_data.texts()))
    assert {each.device.type for each in outline.model.parameters()} == {"meta"}
    whole = families.whole(family)
    assert outline.pad_id == whole.pad_id
    if whole.model.can_generate():
        assert outline.stop_ids == whole.stop_ids
    for shown, trained in zip(model_inputs(outline, family), model_inputs(whole, family), strict=True):
        for one, other in zip(shown, trained, strict=True):
            assert (one.kind, one.pictures) == (other.kind, other.pictures)
            assert same(one.input_ids, other.input_ids)
            assert same(one.trained, other.trained)
            assert one.vision.keys() == other.vision.keys()
            assert all(torch.equal(one.vision[name], other.vision[name]) for name in one.vision)


def same(one: Any, other: Any) -> bool:
    return one is other is None or bool(torch.equal(one, other))


@pytest.mark.parametrize("family", ROWS)
def test_every_token_and_every_picture_is_shown(family: Family) -> None:
    made = families.whole(family)
    objective = objectives.of(made, families.spec_of(family))
    for given in families.examples(family, 1):
        count = len(given.images) + len(given.negatives)
        example = replace(given, image_paths=[f"{place}.png" for place in range(count)])
        message, encoded = preview_examples._shown(objective, made, example, None)
        assert encoded is not None
        assert (message.id, message.problem) == (example.id, "")
        sizes = []
        for each in message.inputs:
            assert sum(span.token_count for span in each.spans) == each.token_count
            trained = [span for span in each.spans if span.kind == span.KIND_TRAINED]
            assert sum(span.token_count for span in trained) == each.trained_token_count
            assert made.tokenizer.eos_token in "".join(span.text for span in trained) or not trained
            sizes += [(each.seen_width_px, each.seen_height_px) for each in each.pictures]
        frames = sum(count - 1 for count in example.videos.values())
        assert len(sizes) == count - frames
        assert all(width >= 16 and height >= 16 for width, height in sizes)
        in_text = picture_ids(made.model.config) and sizes and not family.losses
        assert bool(sum(each.image_token_count for each in message.inputs)) == bool(in_text)
