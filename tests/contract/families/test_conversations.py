"""What holds for every family that answers in text: what it learns, and that padding changes nothing."""

from typing import Any

import pytest
import torch
from visiontune_recipes.facts import Kind
from visiontune_recipes.families import Family
from visiontune_worker import template
from visiontune_worker.objectives import causal_lm

from tests.support import families
from tests.support.families import WITH_PRESET, objective, whole

ANSWERING = {name: family for name, family in WITH_PRESET.items() if family.objective == "causal_lm"}
every = pytest.mark.parametrize("family", ANSWERING.values(), ids=ANSWERING.keys())
each = pytest.mark.parametrize("family", families.often(ANSWERING))


@every
def test_exactly_the_answers_and_their_stop_tokens_are_trained(family: Family) -> None:
    made = whole(family)
    for example in families.examples(family, 1):
        encoded = objective(family, made).encode([example])[0]
        said = made.tokenizer.decode(encoded.input_ids[encoded.trained])
        assert said.strip() == encoded.expected + made.tokenizer.eos_token
        assert int(encoded.input_ids[encoded.trained][-1]) in made.stop_ids


@every
def test_every_picture_has_its_places_and_no_more(family: Family) -> None:
    made = whole(family)
    if Kind.CHAT_WITH_IMAGES not in family.takes:
        pytest.skip(f"{family.name} takes no pictures")
    [one] = objective(family, made).encode([families.pictures(0)])
    assert families.count_of_pictures(made, one) > 0
    assert one.vision
    if Kind.CHAT not in family.takes:
        return
    [none] = objective(family, made).encode([families.chat(0)])
    assert families.count_of_pictures(made, none) == 0
    assert not none.vision


@each
def test_several_pictures_are_one_conversation(family: Family) -> None:
    made = whole(family)
    if Kind.CHAT_WITH_IMAGES not in family.takes:
        pytest.skip(f"{family.name} takes no pictures")
    if family.most_messages:
        pytest.skip(f"{family.name} takes {family.most_messages} messages")
    causal: Any = objective(family, made)
    given = [families.two_pictures(0), families.two_pictures(1), families.pictures(2)]
    encoded = causal.encode(given)
    assert all(families.count_of_pictures(made, each) > 0 for each in encoded)
    with torch.inference_mode():
        together = causal.loss(made.model.eval(), causal.collate(encoded)).summed
        alone = sum(causal.loss(made.model, causal.collate([each])).summed for each in encoded)
    assert together.item() == pytest.approx(float(alone), abs=1e-3)


@each
def test_padding_on_either_side_changes_no_prediction(family: Family) -> None:
    made = whole(family)
    model: Any = made.model.eval()
    causal: Any = objective(family, made)
    encoded = causal.encode(families.examples(family))
    with torch.inference_mode():
        together = causal.loss(model, causal.collate(encoded)).summed
        alone = sum(causal.loss(model, causal.collate([each])).summed for each in encoded)
        asked = [causal_lm.collate_prompts(given, made.pad_id) for given in (encoded, *zip(encoded))]
        following, *single = [model(**inputs).logits[:, -1] for inputs in asked]
    assert together.item() == pytest.approx(float(alone), abs=1e-3)
    assert torch.allclose(following, torch.cat(single), atol=1e-4)


@each
def test_evaluation_measures_what_its_objective_promises(family: Family) -> None:
    made = whole(family)
    causal: Any = objective(family, made)
    encoded = causal.encode(families.examples(family))
    with torch.inference_mode():
        result = causal.result([causal.measure(made.model.eval(), iter([encoded]))])
    assert result.metrics.keys() == {"loss", "exact_match", "vqa_accuracy", "token_accuracy"}
    assert result.answers.keys() == {each.name for each in encoded}


@every
def test_its_tokenizer_knows_any_text(family: Family) -> None:
    tokenizer = whole(family).tokenizer
    ids = tokenizer("Größe: 字 🙂", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "Größe: 字 🙂"
    assert len(tokenizer) <= families.preset_of(family).vocabulary_size


@every
def test_a_prompt_is_written_as_its_conversation_begins(family: Family) -> None:
    """By the preset's template and by the one of published models: what is learnt is what is asked for."""
    if family.encode:
        pytest.skip(f"{family.name} is written by its processor, not by a template")
    processor = whole(family).processor
    conversation = template._conversation(processor, 4, pictures=Kind.CHAT_WITH_IMAGES in family.takes)
    for each in filter(None, (processor.chat_template, family.chat_template)):
        rendered = [
            processor.apply_chat_template(
                conversation[:count], chat_template=each, tokenize=False, add_generation_prompt=count % 2 == 1
            )
            for count in (1, 2, 3, 4)
        ]
        assert rendered[1].startswith(rendered[0])
        assert rendered[3].startswith(rendered[2])
        assert rendered[1][len(rendered[0]) :].strip().startswith("b")
        assert rendered[3][len(rendered[2]) :].strip().startswith("d")
