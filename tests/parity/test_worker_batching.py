"""However examples are laid out, made, kept or cut up: they teach the same, and resuming is exact."""

import copy
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Part, Spec
from visiontune_worker import build, checkpoints, loop, objectives
from visiontune_worker.faults import ConfigurationFault, DataFault, EnvironmentFault
from visiontune_worker.feed import Feed, feed
from visiontune_worker.notices import Notices
from visiontune_worker.objectives import causal_lm
from visiontune_worker.objectives.causal_lm import Encoded
from visiontune_worker.objectives.objective import Batch
from visiontune_worker.order import Order
from visiontune_worker.settings import Settings

from tests.support import worker_data

FROZEN = {"vision_tower": "PART_FREEZE"}
BATCHINGS = ("BATCHING_PADDED", "BATCHING_LENGTH_GROUPED", "BATCHING_PACKED")


def answer(digit: int) -> str:
    """Answers of unlike length."""
    return worker_data.word(digit) * (1 + digit % 4)


def question(index: int) -> str:
    return "Which digit? " + "Look well. " * (index % 7)


@cache
def _built(vision_tower: Part | None) -> build.Built:
    """As from any spec of this module that trains the same parts."""
    facts = DatasetFacts(frozenset(), {"train": 1})
    spec = resolve(worker_data.spec(adaptation={"vision_tower": vision_tower}), facts)
    return build.build(spec, build.Sources(texts=worker_data.texts()))


@dataclass
class House:
    """A dataset on disk, and trainings on it."""

    folder: Path
    rows: list[dict[str, Any]]

    def __post_init__(self) -> None:
        self.manifest = worker_data.write_shards(self.folder / "data", self.rows, shards=2)

    def spec(self, **fields: Any) -> Spec:
        numbers = {"batch_size": 8, "epochs": 2, **fields.pop("hyperparameters", {})}
        return resolve(worker_data.spec(hyperparameters=numbers, **fields), self.manifest.facts)

    def training(self, spec: Spec) -> loop.Training:
        built = copy.copy(_built(spec.adaptation.vision_tower))
        built.model = copy.deepcopy(built.model)
        numbers = spec.hyperparameters
        shards = worker_data.local_shards(self.manifest, self.folder / "data", self.folder / "scratch")
        order = Order(
            shards.counts("train"), numbers.batch_size or 1, numbers.gradient_accumulation_steps or 1, seed=7
        )
        built.train()
        return loop.Training(built, objectives.of(built, spec), numbers, order, order.steps_per_epoch + 2)

    def feed(self, training: loop.Training, spec: Spec, **settings: Any) -> Feed:
        shards = worker_data.local_shards(self.manifest, self.folder / "data", self.folder / "scratch")
        given = Settings(
            trainer_target="none:1",
            attempt="projects/p/trainingJobs/j/attempts/1",
            token="none",
            scratch_dir=self.folder / "own",
            **settings,
        )
        return feed(training, spec, self.manifest, shards, given)

    def losses(self, training: loop.Training, spec: Spec, stop: int = 0, **settings: Any) -> list[float]:
        given = self.feed(training, spec, **settings)
        with closing(given.batches(training.step, stop or training.total_steps)) as batches:
            return [training.advance(each).loss.item() for each in batches]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    rows: list[dict[str, Any]] = [worker_data.row(index, answer, question(index)) for index in range(40)]
    return House(tmp_path_factory.mktemp("house"), rows)


def some(house: House, spec: Spec, count: int) -> tuple[loop.Training, list[Encoded]]:
    training = house.training(spec)
    training.built.model.eval()
    return training, house.feed(training, spec).some(count)


def test_packed_examples_are_what_they_are_alone(house: House) -> None:
    training, encoded = some(house, house.spec(), 4)
    built = training.built
    padded, packed = causal_lm.collate(encoded, built.pad_id), causal_lm.packed(encoded, built.model)
    assert (packed.weight, packed.examples) == (padded.weight, 4)
    assert packed.padded_tokens == sum(each.length for each in encoded) < padded.padded_tokens
    assert "attention_mask" not in packed.inputs
    found = [causal_lm.loss(built.model, batch).summed.item() for batch in (padded, packed)]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_another_first_example_leaves_the_second_of_a_pack_as_it_was(house: House) -> None:
    training, (one, two, three) = some(house, house.spec(), 3)
    model = training.built.model

    def logits(first: Encoded) -> torch.Tensor:
        inputs = causal_lm.packed([first, two], model).inputs
        with torch.no_grad():
            return model(**inputs, use_cache=False).logits[0, first.length :]  # type: ignore[no-any-return]

    assert torch.allclose(logits(one), logits(three), atol=1e-6)


def test_a_model_that_lets_packed_examples_see_each_other_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, encoded = some(house, house.spec(loading={"batching": "BATCHING_PACKED"}), 2)
    objective: Any = training.objective
    objective.refuse_leaks(encoded)
    # As of a model that goes on counting: then nothing tells where an example begins.
    monkeypatch.setattr(
        "visiontune_worker.objectives.packing.positions",
        lambda examples, _: torch.arange(sum(each.length for each in examples))[None],
    )
    with pytest.raises(ConfigurationFault, match="see each other"):
        objective.refuse_leaks(encoded)


def test_packed_training_has_the_losses_of_padded_training(house: House) -> None:
    found = []
    for batching in ("BATCHING_PADDED", "BATCHING_PACKED"):
        spec = house.spec(loading={"batching": batching})
        found.append(house.losses(house.training(spec), spec))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.parametrize(
    ("batching", "stops"),
    [
        ("BATCHING_LENGTH_GROUPED", (2,)),
        pytest.param("BATCHING_LENGTH_GROUPED", (1, 4), marks=pytest.mark.slow),
        pytest.param("BATCHING_PACKED", (1, 2, 4), marks=pytest.mark.slow),
        pytest.param("BATCHING_PADDED", (1, 2, 4), marks=pytest.mark.slow),
    ],
)
def test_stopped_at_any_step_and_resumed_the_later_losses_are_the_same_to_the_bit(
    house: House, tmp_path: Path, batching: str, stops: tuple[int, ...]
) -> None:
    # Frozen, so that features are kept too; 4 is the end of an epoch.
    spec = house.spec(loading={"batching": batching}, adaptation=FROZEN)
    straight = house.losses(house.training(spec), spec)
    assert len(straight) == 6
    for stop in stops:
        first = house.training(spec)
        before = house.losses(first, spec, stop)
        checkpoints.write(first, spec, "sha256:0", tmp_path / "checkpoint")
        torch.manual_seed(99)
        second = house.training(spec)
        checkpoints.read(second, tmp_path / "checkpoint")
        assert [*before, *house.losses(second, spec)] == straight


def alike(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.inputs.keys() == b.inputs.keys()
        and all(torch.equal(a.inputs[name], b.inputs[name]) for name in a.inputs)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("augmentation", [None, {"preset": "PRESET_STANDARD"}])
def test_any_number_of_threads_makes_equal_batches(house: House, augmentation: Any) -> None:
    spec = house.spec(augmentation=augmentation, loading={"batching": "BATCHING_LENGTH_GROUPED"})
    training = house.training(spec)

    def made(workers: int) -> list[Sequence[Batch]]:
        return list(house.feed(training, spec, data_workers=workers).batches(0, training.total_steps))

    alone = made(0)
    for workers in (1, 4):
        assert all(alike(*each) for each in zip(made(workers), alone, strict=True))


def test_features_that_are_kept_change_no_loss(house: House, tmp_path: Path) -> None:
    live = house.spec(adaptation=FROZEN, loading={"feature_cache": "FEATURE_CACHE_OFF"})
    kept = house.spec(adaptation=FROZEN)
    wanted = house.losses(house.training(live), live)
    folder = tmp_path / "features"
    training = house.training(kept)
    calls = counted(training.built.model.model.vision_tower.encoder.layers[0])
    assert house.losses(training, kept, feature_cache_dir=folder) == pytest.approx(wanted, abs=1e-5)
    # Once an image, whatever the epochs; for its shapes alone by another attempt that finds the folder.
    assert len(calls) == 32
    again = house.training(kept)
    calls = counted(again.built.model.model.vision_tower.encoder.layers[0])
    assert house.losses(again, kept, feature_cache_dir=folder) == pytest.approx(wanted, abs=1e-5)
    assert len(calls) == 1


def counted(module: torch.nn.Module) -> list[None]:
    calls: list[None] = []
    module.register_forward_hook(lambda *_: calls.append(None))
    return calls


def test_without_room_for_features_the_losses_are_the_same(house: House) -> None:
    spec = house.spec(adaptation=FROZEN)
    whole = house.losses(house.training(spec), spec)
    assert house.losses(house.training(spec), spec, feature_cache_bytes=50_000) == whole
    assert house.losses(house.training(spec), spec, feature_cache_bytes=0, example_cache_bytes=0) == whole


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "the tower trains"),
        ({"adaptation": FROZEN, "augmentation": {"preset": "PRESET_LIGHT"}}, "pictures vary"),
        ({"adaptation": FROZEN, "loading": {"feature_cache": "FEATURE_CACHE_OFF"}}, "somebody said so"),
    ],
)
def test_features_are_not_kept_when(house: House, fields: dict[str, Any], why: str) -> None:
    spec = house.spec(**fields)
    training = house.training(spec)
    calls = counted(training.built.model.model.multi_modal_projector)
    batch = house.feed(training, spec).train.at([(0, 0)])[0]
    assert "pixel_values" in batch.vision, why
    assert calls == []


def test_features_serve_generation_too_and_training_after_it(house: House) -> None:
    live = house.spec(loading={"feature_cache": "FEATURE_CACHE_OFF"}, adaptation=FROZEN)
    found, losses = [], []
    for spec in (live, house.spec(adaptation=FROZEN)):
        training = house.training(spec)
        given = house.feed(training, spec)
        training.built.model.eval()
        with torch.inference_mode():
            held_out = given.held_out.at([(0, nth) for nth in range(4)])
            found.append(training.objective.measure(training.built.model, iter([held_out])))
        training.built.train()
        with closing(given.batches(0, 1)) as batches:
            losses.append(training.advance(next(batches)).loss.item())
    assert found[0]["answers"] == found[1]["answers"]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], abs=1e-5)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def short(objective: Any, room: int) -> list[int]:
    """Memory suffices only for passes of so many examples; returns the sizes of those that were tried."""
    loss, tried = objective.loss, list[int]()

    def limited(model: Any, batch: Batch) -> Any:
        tried.append(batch.examples)
        if batch.examples > room:
            torch.empty(2**50, dtype=torch.uint8)  # the allocator's own refusal
        return loss(model, batch)

    objective.loss = limited
    return tried


def test_where_memory_does_not_suffice_smaller_passes_make_the_same_step(
    house: House, tmp_path: Path
) -> None:
    spec = house.spec(hyperparameters={"batch_size": 16})
    wanted = house.losses(house.training(spec), spec)
    training = house.training(spec)
    tried = short(training.objective, 5)
    told: list[tuple[str, str]] = []
    training.notices = Notices(lambda reason, message: told.append((reason, message)))
    assert house.losses(training, spec) == pytest.approx(wanted, abs=1e-5)
    assert tried[:7] == [16, 8, 4, 4, 4, 4, 4]
    assert training.most_examples == 4
    assert [reason for reason, _ in told] == ["MEMORY_SHORT"] * 2
    assert "over 16 example(s)" in told[0][1]
    checkpoints.write(training, spec, "sha256:0", tmp_path / "checkpoint")
    again = house.training(spec)
    checkpoints.read(again, tmp_path / "checkpoint")
    assert again.most_examples == 4


def test_when_one_example_is_too_much_the_fault_says_so_in_numbers(house: House) -> None:
    spec = house.spec()
    training = house.training(spec)
    short(training.objective, 0)
    with pytest.raises(
        EnvironmentFault, match=r"over 1 example\(s\), \d+ tokens.*1,073,741,824 MiB"
    ) as raised:
        house.losses(training, spec)
    assert raised.value.reason == "OUT_OF_MEMORY"


def test_a_loss_that_is_no_number_ends_the_job_and_names_its_examples(house: House) -> None:
    spec = house.spec(loading={"batching": "BATCHING_LENGTH_GROUPED"})
    training = house.training(spec)
    given = house.feed(training, spec)
    meter = loop.Meter(training, tell=lambda _: None, ids_at=given.ids_at)

    def spoil() -> None:
        if training.step == 3:
            training.parameters[0].data.fill_(float("nan"))

    with pytest.raises(ConfigurationFault) as raised:
        loop.run(training, given.batches(0, 6), meter=meter, after_step=spoil)
    assert raised.value.reason == "LOSS_NOT_FINITE"
    assert "step 4" in raised.value.message
    [fourth] = next(given.batches(3, 4))
    for each in fourth.encoded:
        row = int(each.name.rpartition("/")[2])
        assert repr(house.rows[row]["id"]) in raised.value.message


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Three examples that cannot be trained on, one of them an image that is cut off."""
    rows: list[dict[str, Any]] = [worker_data.row(index, answer, question(index)) for index in range(40)]
    rows[11]["images"] = [{"bytes": rows[11]["images"][0]["bytes"][:60], "path": "11.png"}]
    rows[12] = worker_data.row(12, lambda _: "</s>")
    rows[34]["images"] = []
    return House(tmp_path_factory.mktemp("damaged"), rows)


BAD = ("digit-0011", "digit-0012", "digit-0034")


def test_a_bad_example_ends_the_job_and_is_named(damaged: House) -> None:
    spec = damaged.spec()
    with pytest.raises(DataFault, match="|".join(BAD)):
        damaged.losses(damaged.training(spec), spec)


def test_a_bad_example_is_left_out_where_the_job_says_so_the_same_after_a_resume(
    damaged: House, tmp_path: Path
) -> None:
    spec = damaged.spec(loading={"on_bad_example": "ON_BAD_EXAMPLE_SKIP"})
    told: list[tuple[str, str]] = []
    training = damaged.training(spec)
    training.notices = Notices(lambda reason, message: told.append((reason, message)))
    straight = damaged.losses(training, spec)
    assert training.notices.skipped == 3
    assert {reason for reason, _ in told} == {"EXAMPLE_SKIPPED"}
    assert all(any(bad in message for _, message in told) for bad in BAD)
    assert len(told) == 3
    first = damaged.training(spec)
    before = damaged.losses(first, spec, 3)
    checkpoints.write(first, spec, "sha256:0", tmp_path / "checkpoint")
    second = damaged.training(spec)
    checkpoints.read(second, tmp_path / "checkpoint")
    assert [*before, *damaged.losses(second, spec)] == straight


def test_a_step_of_bad_examples_alone_changes_nothing_and_has_no_loss(damaged: House) -> None:
    training = damaged.training(damaged.spec())
    before = {name: each.clone() for name, each in training.built.model.state_dict().items()}
    points: list[loop.Point] = []
    meter = loop.Meter(training, tell=points.extend)
    loop.run(training, iter([[]]), meter=meter, after_step=lambda: None)
    assert (training.step, points) == (1, [])
    assert all(torch.equal(each, before[name]) for name, each in training.built.model.state_dict().items())
