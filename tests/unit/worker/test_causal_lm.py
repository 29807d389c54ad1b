"""What is trained is the answers with their stop tokens, and padding changes nothing."""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from tokenizers import processors
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families.llava import CHAT_TEMPLATE
from visiontune_recipes.resolve import resolve
from visiontune_worker import build
from visiontune_worker import template as template_module
from visiontune_worker.evaluate import held_out_places
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.objectives import causal_lm, conversations
from visiontune_worker.objectives.causal_lm import CausalLM, Encoded
from visiontune_worker.shards import Example

from tests.support import worker_data

SPEC = resolve(worker_data.spec(), DatasetFacts(frozenset(), {"train": 1}))


@cache
def tiny() -> build.Built:
    built = build.build(SPEC, build.Sources(texts=worker_data.texts()))
    built.model.eval()
    return built


def text(role: str, words: str, *, image: bool = False) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "image", "text": None}] if image else []
    return {"role": role, "content": [*parts, {"type": "text", "text": words}]}


def example(*messages: dict[str, Any], images: int = 1) -> Example:
    data, _ = worker_data.scans()[0]
    return Example("v/examples/7", "seven", [data] * images, messages)


ONE_TURN = example(text("user", "\nWhich?", image=True), text("assistant", "seven"))
TWO_TURNS = example(
    text("system", "Be brief."),
    text("user", "\nWhich?", image=True),
    text("assistant", "seven"),
    text("user", "And this?", image=True),
    text("assistant", "zero, I think"),
    images=2,
)
NO_IMAGE = example(text("user", "Hi"), text("assistant", "ho"), images=0)


def encode(given: Example, built: build.Built | None = None) -> Encoded:
    built = built or tiny()
    return CausalLM(built, SPEC).encode([given])[0]


def decode(ids: torch.Tensor) -> str:
    return str(tiny().processor.tokenizer.decode(ids))


@pytest.mark.parametrize(
    ("given", "trained"),
    [(ONE_TURN, "seven</s>"), (TWO_TURNS, "seven</s>zero, I think</s>"), (NO_IMAGE, "ho</s>")],
)
def test_exactly_the_answers_and_their_stop_tokens_are_trained(given: Example, trained: str) -> None:
    encoded = encode(given)
    assert decode(encoded.input_ids[encoded.trained]) == trained


SHORT, LONG = ("seven", "zero"), ("a seven with a long thin bar", "a zero with a round thick belly")


@pytest.mark.parametrize(
    ("expected", "said", "asked", "reported"),
    [
        (SHORT, ("seven", "one"), {}, {"exact_match": 0.5, "vqa_accuracy": 1 / 3}),
        (LONG, (LONG[0], "a zero"), {}, {"rouge_l": (1 + 4 / 9) / 2}),
        (LONG, LONG, {"best_metric": "exact_match"}, {"rouge_l": 1.0, "exact_match": 1.0}),
        (SHORT, SHORT, {"metrics": ["rouge_l"]}, {"rouge_l": 1.0, "exact_match": 1.0, "vqa_accuracy": 5 / 6}),
    ],
)
def test_answers_are_measured_by_what_suits_them_or_is_asked_for(
    expected: tuple[str, str], said: tuple[str, str], asked: dict[str, Any], reported: dict[str, float]
) -> None:
    class Scripted(CausalLM):
        def generate(self, model: Any, examples: Sequence[Encoded]) -> list[str]:
            return list(said)

    # Two of ten people said what the model says.
    answers = json.dumps({"answers": ["7", "seven.", *["9"] * 8]})
    given = [
        replace(
            example(text("user", "?", image=True), text("assistant", words)),
            name=f"v/examples/{number}",
            metadata_json=answers if words == "seven" else "{}",
        )
        for number, words in enumerate(expected)
    ]
    evaluation = SPEC.evaluation.model_copy(update=asked)
    causal = Scripted(tiny(), SPEC.model_copy(update={"evaluation": evaluation}))
    with torch.inference_mode():
        part = causal.measure(tiny().model, [causal.encode(given)])
    metrics = dict(causal.result([json.loads(json.dumps(part))]).metrics)
    assert metrics.pop("loss") > 0
    assert 0 <= metrics.pop("token_accuracy") <= 1
    assert metrics == pytest.approx(reported)


def test_the_prompt_of_generation_is_what_precedes_the_last_answer() -> None:
    encoded = encode(TWO_TURNS)
    assert decode(encoded.input_ids[encoded.answer_start :]) == "zero, I think</s>"
    assert encoded.expected == "zero, I think"
    assert encoded.prompt.startswith("system: Be brief.")
    assert encode(ONE_TURN).prompt == "<image>\nWhich?"


def test_generation_starts_from_the_ids_that_a_user_would_get() -> None:
    processor = tiny().processor
    content = [{"type": "image", "image": conversations.decode(ONE_TURN.images[0], ONE_TURN)}]
    found = processor.apply_chat_template(
        [{"role": "user", "content": [*content, {"type": "text", "text": "\nWhich?"}]}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    encoded = encode(ONE_TURN)
    assert torch.equal(found["input_ids"][0], encoded.input_ids[: encoded.answer_start])
    assert torch.equal(found["pixel_values"], encoded.vision["pixel_values"])


def test_threads_do_not_mark_each_others_answers() -> None:
    objective = CausalLM(tiny(), SPEC)
    alone = objective.encode([ONE_TURN]), objective.encode([TWO_TURNS])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(
                pool.map(lambda number: objective.encode([(ONE_TURN, TWO_TURNS)[number % 2]]), range(60))
            )
    finally:
        sys.setswitchinterval(interval)
    assert all(each[0].trained.equal(alone[number % 2][0].trained) for number, each in enumerate(found))


def test_what_follows_the_last_answer_is_left_out() -> None:
    more = Example(ONE_TURN.name, "x", ONE_TURN.images, [*ONE_TURN.messages, text("user", "More?")])
    assert torch.equal(encode(more).input_ids, encode(ONE_TURN).input_ids)


def test_the_loss_is_the_cross_entropy_that_the_model_itself_computes() -> None:
    encoded = [encode(ONE_TURN), encode(TWO_TURNS), encode(NO_IMAGE)]
    batch = causal_lm.collate(encoded, tiny().pad_id)
    labels = batch.inputs["input_ids"].masked_fill(~batch.trained, -100)
    with torch.inference_mode():
        summed = causal_lm.loss(tiny().model, batch).summed
        theirs = tiny().model(**batch.inputs, labels=labels).loss
    assert batch.weight == sum(int(each.trained.sum()) for each in encoded)
    assert summed.item() / batch.weight == pytest.approx(theirs.item(), abs=1e-6)


def test_padding_on_either_side_changes_no_prediction() -> None:
    short, long = encode(ONE_TURN), encode(TWO_TURNS)
    with torch.inference_mode():
        alone = causal_lm.loss(tiny().model, causal_lm.collate([short], tiny().pad_id)).summed
        both = causal_lm.loss(tiny().model, causal_lm.collate([short, long], tiny().pad_id)).summed
        other = causal_lm.loss(tiny().model, causal_lm.collate([long], tiny().pad_id)).summed
        left = tiny().model(**causal_lm.collate_prompts([short, long], tiny().pad_id)).logits[0, -1]
        single = tiny().model(**causal_lm.collate_prompts([short], tiny().pad_id)).logits[0, -1]
    assert both.item() == pytest.approx(alone.item() + other.item(), abs=1e-4)
    assert torch.allclose(left, single, atol=1e-5)


def test_an_example_is_encoded_alike_alone_and_in_company() -> None:
    together = CausalLM(tiny(), SPEC).encode([NO_IMAGE, TWO_TURNS, ONE_TURN] * 3)
    for found, given in zip(together, [NO_IMAGE, TWO_TURNS, ONE_TURN] * 3, strict=True):
        alone = encode(given)
        assert torch.equal(found.input_ids, alone.input_ids)
        assert torch.equal(found.trained, alone.trained)
        assert found.vision.keys() == alone.vision.keys()
        assert all(torch.equal(found.vision[name], alone.vision[name]) for name in alone.vision)


def test_a_batch_of_one_length_has_no_mask() -> None:
    assert "attention_mask" not in causal_lm.collate([encode(ONE_TURN)] * 2, 0).inputs
    assert "attention_mask" in causal_lm.collate([encode(ONE_TURN), encode(NO_IMAGE)], 0).inputs


@pytest.mark.parametrize(
    "template", ["{{ messages }}", "{% for m in messages %}{% generation %}x{% endgeneration %}{% endfor %}"]
)
def test_a_template_that_marks_no_stop_is_replaced_by_the_familys(template: str) -> None:
    built = build.build(SPEC, build.Sources(texts=worker_data.texts()))
    built.processor.chat_template = template
    template_module.use_for_training(built.processor, built.family, built.stop_ids)
    assert built.processor.chat_template == CHAT_TEMPLATE
    encoded = encode(TWO_TURNS, built)
    assert decode(encoded.input_ids[encoded.trained]) == " seven</s> zero, I think</s>"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% generation %}x{% endgeneration %}{% endfor %}",
        "{% for m in messages %}x{% endfor %}",
        "{% for m in messages %}{{ m['role'] }}{{ eos_token }}{% endfor %}{{ messages|length }}",
    ],
)
def test_a_template_whose_answers_cannot_be_found_is_refused(template: str) -> None:
    built = build.build(SPEC, build.Sources(texts=worker_data.texts()))
    built.processor.chat_template = template
    with pytest.raises(ConfigurationFault, match="does not mark answers"):
        encode(NO_IMAGE, built)


def test_an_own_template_stays_where_it_tells_answers() -> None:
    built = build.build(SPEC, build.Sources(texts=worker_data.texts()))
    marked = built.processor.chat_template
    plain = marked.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    for own in (marked, plain):
        built.processor.chat_template = own
        template_module.use_for_training(built.processor, built.family, built.stop_ids)
        assert built.processor.chat_template == own
    # What the family's template writes alike is taken with its marks: that saves a pass.
    theirs = CHAT_TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    built.processor.chat_template = theirs
    template_module.use_for_training(built.processor, built.family, built.stop_ids)
    assert built.processor.chat_template == CHAT_TEMPLATE


def test_a_beginning_that_template_and_tokenizer_write_is_there_once() -> None:
    built = build.build(SPEC, build.Sources(texts=worker_data.texts()))
    tokenizer = built.tokenizer
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id)]
    )
    plain = built.processor.chat_template
    for own in (plain, "{{ bos_token }}" + plain):
        built.processor.chat_template = own
        encoded = encode(ONE_TURN, built)
        assert encoded.input_ids.tolist().count(tokenizer.bos_token_id) == 1
        assert decode(encoded.input_ids[encoded.trained]) == "seven</s>"


def test_answers_of_a_template_without_marks_are_found_by_what_precedes_them() -> None:
    built = build.build(SPEC, build.Sources(texts=worker_data.texts()))
    marked = built.processor.chat_template
    built.processor.chat_template = marked.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    for given in (ONE_TURN, TWO_TURNS, NO_IMAGE):
        found, expected = encode(given, built), encode(given)
        assert torch.equal(found.trained, expected.trained)
        assert torch.equal(found.input_ids, expected.input_ids)


@pytest.mark.parametrize(("most", "expected"), [(None, 5), (9, 5), (2, 2)])
def test_held_out_examples_are_the_same_ones_every_time(most: int | None, expected: int) -> None:
    places = held_out_places((2, 0, 3), most)
    assert len(places) == expected
    assert places == held_out_places((2, 0, 3), most)
    assert places[0] == (0, 0)


def test_a_preset_is_the_same_every_time_and_has_the_size_it_says() -> None:
    first, second = (build.build(SPEC, build.Sources(texts=worker_data.texts())) for _ in range(2))
    assert all(
        torch.equal(value, second.model.state_dict()[name])
        for name, value in first.model.state_dict().items()
    )
    assert first.processor.tokenizer.get_vocab() == second.processor.tokenizer.get_vocab()
    assert abs(first.parameter_count - 625_728) < 5_000
    # Byte-level: any text survives.
    ids = first.processor.tokenizer("Größe: 字 🙂", add_special_tokens=False)["input_ids"]
    assert first.processor.tokenizer.decode(ids) == "Größe: 字 🙂"
