"""Every open choice is made, none that was made is changed, and the result is stable."""

import pytest
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.resolve import resolve, steps_per_epoch, total_steps
from visiontune_recipes.spec import (
    Method,
    Objective,
    Part,
    Precision,
    Preference,
    Quantisation,
    Schedule,
    Spec,
    digest,
)

FACTS = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 100, "validation": 20})
BASES = [
    {"preset": "tiny-llava"},
    {"hub": {"repo_id": "a/b"}},
    {"path": "/m"},
    {"model": "projects/p/models/m"},
]


def spec(**fields: object) -> Spec:
    return Spec.model_validate(
        {
            "dataset_version": "projects/p/datasets/d/versions/v1",
            "base_model": {"preset": "tiny-llava"},
            **fields,
        }
    )


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", list(Method))
def test_nothing_that_the_worker_needs_stays_open(base: dict[str, object], method: Method) -> None:
    resolved = resolve(spec(base_model=base, adaptation={"method": method}), FACTS)
    open_fields = {
        f"{section}.{name}"
        for section in ("adaptation", "hyperparameters", "evaluation", "checkpointing", "resources")
        for name, value in getattr(resolved, section)
        if value is None
    }
    may_stay_open = {
        "hyperparameters.max_steps",
        "hyperparameters.losses",
        "evaluation.max_examples",
        "evaluation.metrics",
        "evaluation.best_metric",
        "evaluation.early_stopping",
        "resources.max_duration",
        "resources.nodes",
        "resources.spot",
        "resources.queue",
        "resources.priority",
        "resources.sharding",
        "adaptation.lora",
        "adaptation.quantisation",
        "adaptation.continue_adapter",
        "hyperparameters.learning_rates",
        "hyperparameters.optimiser",
        "hyperparameters.gradient_checkpointing",
    }
    assert open_fields <= may_stay_open
    assert (resolved.adaptation.lora is None) == (method is Method.FULL)


@pytest.mark.parametrize("base", BASES)
def test_resolving_again_changes_nothing(base: dict[str, object]) -> None:
    once = resolve(spec(base_model=base), FACTS, parameter_count=700_000)
    assert resolve(once, FACTS) == once


def test_layers_with_adapters_are_those_of_the_family_in_parts_that_have_any() -> None:
    llava = FAMILIES["llava"]

    def targets(**adaptation: object) -> str | None:
        asked = spec(base_model={"path": "/m"}, adaptation=adaptation)
        resolved = resolve(asked, FACTS, family=llava)
        assert resolve(resolved, FACTS, family=llava) == resolved
        # A spec from before its family was known takes the same.
        assert resolve(resolve(asked, FACTS), FACTS, family=llava) == resolved
        return resolved.adaptation.lora.target_modules if resolved.adaptation.lora else None

    assert targets() == llava.lora.language_model
    both = targets(vision_tower="PART_LORA", projector="PART_FULL")
    assert both == f"{llava.lora.vision_tower}|{llava.lora.language_model}"
    assert targets(lora={"target_modules": ".*q_proj"}) == ".*q_proj"
    assert targets(language_model="PART_FREEZE") == ""
    assert targets(method="METHOD_FULL") is None
    assert targets(continue_adapter=True) is None


def test_what_was_asked_stays() -> None:
    asked = {
        "epochs": 2.5,
        "max_steps": 7,
        "batch_size": 10,
        "gradient_accumulation_steps": 3,
        "learning_rate": 0.5,
        "schedule": "SCHEDULE_CONSTANT",
        "warmup_ratio": 0.0,
        "weight_decay": 0.0,
        "max_grad_norm": 9.0,
        "seed": 0,
        "max_length": 8,
        "precision": "PRECISION_BF16",
        "losses": ["mlm"],
    }
    resolved = resolve(
        spec(
            hyperparameters=asked,
            adaptation={
                "method": "METHOD_LORA",
                "lora": {"rank": 4, "alpha": 2, "dropout": 0},
                "vision_tower": "PART_TRAIN",
            },
            evaluation={"sample_count": 0},
        ),
        FACTS,
    )
    assert resolved.hyperparameters.model_dump(mode="json", exclude_none=True) == asked
    assert resolved.adaptation.lora is not None
    assert resolved.adaptation.lora.alpha == 2
    assert resolved.adaptation.vision_tower is Part.TRAIN
    assert resolved.evaluation.sample_count == 0


def test_a_preset_trains_whole_and_anything_else_by_lora() -> None:
    assert resolve(spec(), FACTS).adaptation.method is Method.FULL
    assert resolve(spec(base_model={"path": "/m"}), FACTS).adaptation.method is Method.LORA


def test_a_small_model_learns_faster_than_a_large_one() -> None:
    by_size = [
        resolve(spec(base_model={"model": "projects/p/models/m"}), FACTS, parameter_count=count)
        for count in (700_000, 7_000_000_000, 0)
    ]
    rates = [each.hyperparameters.learning_rate or 0 for each in by_size]
    assert rates[0] > 10 * rates[1]
    assert rates[1] == rates[2]


def test_precision_follows_the_accelerator() -> None:
    assert resolve(spec(), FACTS).hyperparameters.precision is Precision.FP32
    with_one = resolve(spec(resources={"accelerator_count": 1}), FACTS)
    assert with_one.hyperparameters.precision is Precision.BF16


def test_weights_are_of_four_bits_by_qlora_and_as_they_are_by_the_other_methods() -> None:
    kept = [resolve(spec(adaptation={"method": method}), FACTS).adaptation.quantisation for method in Method]
    assert kept == [None, None, Quantisation.NF4]


@pytest.mark.parametrize(
    ("base", "adaptation", "expected"),
    [
        ({"preset": "tiny-llava"}, {}, "630de1294b948ce5"),
        ({"path": "/m"}, {}, "5fbd437e694e59f7"),
        ({"path": "/m"}, {"method": "METHOD_FULL"}, "d22059811d56e848"),
    ],
)
def test_a_spec_without_the_newer_fields_has_the_digest_that_it_always_had(
    base: dict[str, object], adaptation: dict[str, object], expected: str
) -> None:
    assert digest(resolve(spec(base_model=base, adaptation=adaptation), FACTS))[7:23] == expected


@pytest.mark.parametrize(
    ("resume", "epochs", "expected"),
    [
        (None, 2, 20),
        # The data of before: epochs count from the beginning.
        ({"step": 10, "data_start_step": 0}, 3, 30),
        # Other data: epochs count passes over these, steps go on.
        ({"step": 10, "data_start_step": 10}, 2, 30),
    ],
)
def test_a_resumed_job_counts_steps_on(resume: dict[str, int] | None, epochs: float, expected: int) -> None:
    asked = spec(hyperparameters={"epochs": epochs, "batch_size": 10})
    if resume:
        earlier = {"checkpoint": "projects/p/trainingJobs/j/checkpoints/step-10", **resume}
        asked = spec(hyperparameters={"epochs": epochs, "batch_size": 10}, resume_from=earlier)
    assert total_steps(resolve(asked, FACTS), FACTS) == expected
    assert asked.first_step == (10 if resume else 0)


def test_a_hub_model_gets_a_revision() -> None:
    resolved = resolve(spec(base_model={"hub": {"repo_id": "a/b"}}), FACTS)
    assert resolved.base_model.hub is not None
    assert resolved.base_model.hub.revision == "main"


@pytest.mark.parametrize(
    ("batch", "accumulation", "expected"), [(32, 1, 4), (100, 1, 1), (101, 1, 1), (10, 3, 4), (1, 1, 100)]
)
def test_an_epoch_has_a_step_for_every_started_batch(batch: int, accumulation: int, expected: int) -> None:
    resolved = resolve(
        spec(hyperparameters={"batch_size": batch, "gradient_accumulation_steps": accumulation}), FACTS
    )
    assert steps_per_epoch(resolved.hyperparameters, FACTS) == expected
    assert resolved.evaluation.every_steps == expected


def test_max_steps_ends_the_job_early_and_never_late() -> None:
    few = resolve(spec(hyperparameters={"epochs": 2, "batch_size": 10, "max_steps": 7}), FACTS)
    many = resolve(spec(hyperparameters={"epochs": 2, "batch_size": 10, "max_steps": 700}), FACTS)
    half = resolve(spec(hyperparameters={"epochs": 0.55, "batch_size": 10}), FACTS)
    assert [total_steps(each, FACTS) for each in (few, many, half)] == [7, 20, 6]


def test_the_schedule_is_linear_unless_asked() -> None:
    assert resolve(spec(), FACTS).hyperparameters.schedule is Schedule.LINEAR


def test_pairs_are_for_preference_with_lower_rates() -> None:
    pairs = DatasetFacts(frozenset({Kind.PREFERENCE}), {"train": 100, "validation": 20})
    resolved = resolve(spec(), pairs)
    assert resolved.objective is Objective.PREFERENCE
    assert resolved.preference == Preference(beta=0.1, label_smoothing=0.0)
    assert resolve(resolved, pairs) == resolved
    rates = [resolve(spec(), facts).hyperparameters.learning_rate or 0 for facts in (pairs, FACTS)]
    assert rates[0] == pytest.approx(rates[1] / 10)


def test_what_leaves_no_choice_of_objective_has_the_digest_that_it_had() -> None:
    resolved = resolve(spec(), FACTS)
    assert (resolved.objective, resolved.preference) == (None, None)
    assert "objective" not in resolved.to_dict()
    assert digest(resolved) == digest(Spec.model_validate(resolved.to_dict()))
