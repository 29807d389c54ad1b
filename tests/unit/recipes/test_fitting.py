"""Choices that follow from the accelerator and the data, and why they were made."""

from dataclasses import replace
from typing import Any

import pytest
from visiontune_recipes.estimate.counting import sizes_of
from visiontune_recipes.estimate.fitting import Place, choices, fitted
from visiontune_recipes.estimate.work import Work
from visiontune_recipes.facts import DatasetFacts, Kind, Lengths, Span
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Precision, Spec, digest

GIB = 1024**3
LLAMA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
}


def span(most: float) -> Span:
    return Span(most, most, most, most)


def work(tokens: int) -> Work:
    none = span(0)
    lengths = Lengths(span(tokens), none, none, none, answer_tokens=span(tokens // 2))
    facts = DatasetFacts(frozenset({Kind.CHAT}), {"train": 64, "validation": 16}, lengths=lengths)
    sizes = sizes_of("text", LLAMA_7B)
    assert sizes is not None
    return Work(sizes, facts, lengths)


def asked(**numbers: Any) -> Spec:
    return Spec.model_validate(
        {
            "dataset_version": "projects/p/datasets/d/versions/v1",
            "base_model": {"path": "/models/seven"},
            "resources": {"accelerator": "card", "accelerator_count": 1},
            "hyperparameters": numbers,
        }
    )


def resolved(spec: Spec, known: Work | None, place: Place | None) -> tuple[Spec, dict[str, str]]:
    """As the trainer does it."""
    facts = known.facts if known else work(1).facts
    filled, why = fitted(spec, resolve(spec, facts), known, place)
    return resolve(filled, facts), why


CARD = Place("card", 32 * GIB)
A100 = Place("a100", 80 * GIB)


def test_the_batch_is_halved_until_the_job_fits_and_the_step_stays() -> None:
    known = work(1000)
    roomy, why = resolved(asked(), known, A100)
    assert (roomy.hyperparameters.batch_size, roomy.hyperparameters.gradient_accumulation_steps) == (4, 4)
    assert why == {}
    tight, why = resolved(asked(), known, CARD)
    numbers = tight.hyperparameters
    assert (numbers.batch_size, numbers.gradient_accumulation_steps) == (2, 8)
    assert known.memory(tight, on_gpu=True).peak <= 32 * GIB
    assert why["hyperparameters.batch_size"] == "So that the job fits card."
    assert digest(tight) != digest(roomy)
    # What is stored is resolved as it is, whatever the machine.
    assert resolved(tight, known, A100)[0] == tight


def test_what_is_asked_for_stays_and_nothing_is_smaller_than_one() -> None:
    assert resolved(asked(batch_size=8), work(1000), CARD)[0].hyperparameters.batch_size == 8
    numbers = resolved(asked(gradient_accumulation_steps=3), work(1000), CARD)[0].hyperparameters
    assert (numbers.batch_size, numbers.gradient_accumulation_steps) == (2, 3)
    tiny = resolved(asked(), work(1000), Place("tiny", GIB))[0].hyperparameters
    assert (tiny.batch_size, tiny.gradient_accumulation_steps) == (1, 16)


@pytest.mark.parametrize(
    ("known", "place"), [(None, CARD), (work(1000), None), (work(1000), Place("x", None))]
)
def test_where_sizes_or_memory_are_unknown_the_usual_batch_stands(
    known: Work | None, place: Place | None
) -> None:
    numbers = resolved(asked(), known, place)[0].hyperparameters
    assert (numbers.batch_size, numbers.gradient_accumulation_steps) == (4, 4)


def test_examples_longer_than_usual_raise_the_limit_up_to_what_the_model_reads() -> None:
    assert resolved(asked(), work(500), A100)[0].hyperparameters.max_length == 4096
    longer, why = resolved(asked(), work(2500), A100)
    assert longer.hyperparameters.max_length == 5 * 1024
    assert why["hyperparameters.max_length"] == "The longest example has about 2,500 tokens."
    assert resolved(asked(), work(9000), A100)[0].hyperparameters.max_length == 8192
    assert resolved(asked(max_length=512), work(9000), A100)[0].hyperparameters.max_length == 512


def test_an_accelerator_without_bfloat16_computes_in_float16() -> None:
    t4 = replace(CARD, name="t4", has_bf16=False)
    chosen, why = resolved(asked(), work(100), t4)
    assert chosen.hyperparameters.precision is Precision.FP16
    assert why["hyperparameters.precision"] == "t4 has no bfloat16."
    assert resolved(asked(), work(100), CARD)[0].hyperparameters.precision is Precision.BF16
    kept = resolved(asked(precision="PRECISION_FP32"), work(100), t4)[0]
    assert kept.hyperparameters.precision is Precision.FP32


def test_every_choice_is_told_with_a_reason_and_nothing_that_was_asked_for() -> None:
    spec = asked(learning_rate=0.1)
    final, why = resolved(spec, work(1000), CARD)
    found = {each.field: each for each in choices(spec, final, why)}
    assert "hyperparameters.learning_rate" not in found
    assert "dataset_version" not in found
    assert found["hyperparameters.batch_size"].reason == "So that the job fits card."
    assert found["adaptation.method"].value == "METHOD_LORA"
    assert found["adaptation.lora.rank"].value == 16
    assert found["evaluation.every_steps"].reason == "Once an epoch."
    assert all(each.reason for each in found.values())
    assert choices(final, final, {}) == []


@pytest.mark.parametrize(
    ("family", "parts", "begins", "told"),
    [
        ("llava", {}, r"model\.language_model\.", "Those of the family llava"),
        ("llava", {"vision_tower": "PART_LORA"}, r"model\.vision_tower\.", "Those of the family llava"),
        ("", {}, "", "which the worker will know"),
    ],
)
def test_where_adapters_go_is_told_where_the_spec_leaves_it_open(
    family: str, parts: dict[str, str], begins: str, told: str
) -> None:
    asked = Spec.model_validate(
        {
            "dataset_version": "projects/p/datasets/d/versions/v1",
            "base_model": {"model": "projects/p/models/m"},
            "adaptation": parts,
        }
    )
    facts = DatasetFacts(frozenset(), {"train": 1})
    known = FAMILIES.get(family)
    found = choices(asked, resolve(asked, facts, family=known), {}, known)
    [targets] = [each for each in found if each.field == "adaptation.lora.target_modules"]
    assert told in targets.reason
    assert targets.value.startswith(begins)
    assert bool(targets.value) == bool(begins)
