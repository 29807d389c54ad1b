"""Examples are shown as the training sees them, by a child of the trainer over shards in a real store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from huggingface_hub import constants
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.resolve import resolve
from visiontune_trainer.adapters import preview
from visiontune_worker import build, objectives, presets
from visiontune_worker.data import Examples
from visiontune_worker.objectives import causal_lm
from visiontune_worker.order import Order

from tests.support import worker_data
from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, create_request, running_trainer
from tests.support.trainer_program import serve_digits

COUNT = 120
_PATIENCE_S = 110.0


# One trainer for all, so that its child loads torch once.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this process and the trainer's child keep files of the Hub."""
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(folder))
        patch.setattr(constants, "HF_HUB_CACHE", str(folder))
        yield folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trainer(
    s3: SeaweedFS, hub_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TrainerHandle]:
    folder = tmp_path_factory.mktemp("previews")
    async with running_trainer(s3, folder, preview_most_s=_PATIENCE_S, read_hub=True) as handle:
        await serve_digits(handle.datasets, handle.storage, folder, COUNT)
        yield handle


async def show(trainer: TrainerHandle, *, rows: Any = (), count: int = 0, **spec: Any) -> Any:
    job = create_request(**spec).training_job
    request = pb.PreviewTrainingExamplesRequest(parent=PARENT, training_job=job, rows=rows, count=count)
    metadata = trainer.trust.metadata(role=Role.VIEWER)
    # The first call loads torch.
    return await trainer.stub.PreviewTrainingExamples(request, metadata=metadata, timeout=_PATIENCE_S)


def trained_on(folder: Path, count: int, **hyperparameters: Any) -> list[causal_lm.Encoded]:
    """What the training itself puts into its first batch."""
    rows = [worker_data.row(index) for index in range(COUNT)]
    manifest = worker_data.write_shards(folder, rows, shards=2)
    spec = resolve(worker_data.spec(hyperparameters=hyperparameters), manifest.facts)
    shards = worker_data.local_shards(manifest, folder, folder / "scratch")
    built = build.build(spec, build.Sources(texts=shards.texts("train")))
    examples = Examples(shards, "train", objectives.of(built, spec), cache_bytes=0)
    order = Order(shards.counts("train"), count, 1, spec.hyperparameters.seed or 0)
    [batch] = next(iter(map(examples.batches, order.steps(0, 1))))
    shards.close()
    encoded: list[Any] = list(batch.encoded)
    return encoded


def tokens(shown: pb.ModelInput) -> tuple[list[int], list[bool]]:
    """Ids, and which are trained on."""
    ids, trained = [], []
    for span in shown.spans:
        repeated = span.token_count if span.kind == span.KIND_IMAGE else 1
        ids += list(span.token_ids) * repeated
        trained += [span.kind == span.KIND_TRAINED] * span.token_count
    return ids, trained


async def test_what_is_shown_is_the_first_batch_of_the_training(
    trainer: TrainerHandle, tmp_path: Path
) -> None:
    shown = await show(trainer, count=6)
    assert (shown.family, shown.objective, shown.max_length) == ("llava", "causal_lm", 2048)
    expected = await asyncio.to_thread(trained_on, tmp_path, 6)
    assert [each.id for each in shown.examples] == [
        f"digit-{int(each.name.rpartition('/')[2]):04d}" for each in expected
    ]
    for example, encoded in zip(shown.examples, expected, strict=True):
        [conversation] = example.inputs
        assert tokens(conversation) == (encoded.input_ids.tolist(), encoded.trained.tolist())
        assert conversation.image_token_count == 16
        [image, asked, answer] = conversation.spans
        assert (image.text, image.token_count) == ("<image>", 16)
        assert asked.text == f"\n{worker_data.QUESTION}\n"
        assert answer.text == f"{encoded.expected}</s>"
        [picture] = conversation.pictures
        assert (picture.width_px, picture.seen_width_px, picture.tile_count) == (32, 32, 1)
        assert not example.problem
    assert not shown.HasField("packed_row")


async def test_rows_are_shown_with_what_does_not_fit_and_packed_as_the_training_packs_them(
    trainer: TrainerHandle,
) -> None:
    numbers = pb.Hyperparameters(max_length=20)
    packed = pb.Loading(batching=pb.Loading.BATCHING_PACKED)
    whole = await show(trainer, rows=[5, 3], loading=packed)
    assert [each.id for each in whole.examples] == ["digit-0005", "digit-0003"]
    row = whole.packed_row
    assert row.token_count == sum(each.inputs[0].token_count for each in whole.examples)
    in_order = [span for each in whole.examples for span in each.inputs[0].spans]
    assert list(row.spans) == in_order
    cut = await show(trainer, rows=[5], hyperparameters=numbers)
    [example] = cut.examples
    [conversation] = example.inputs
    assert conversation.excess_token_count == conversation.token_count - 20
    assert conversation.excess_trained_token_count == conversation.trained_token_count > 0
    assert conversation.excess_image_token_count == 0
    assert f"'digit-0005' has {conversation.token_count} tokens" in example.problem
    assert f"max_length to {conversation.token_count} or more" in example.problem


def contents(processor: Path) -> dict[str, bytes]:
    """Its files where a checkpoint keeps them."""
    return {f"processor/{each.name}": each.read_bytes() for each in processor.iterdir() if each.is_file()}


async def test_a_preset_that_goes_on_keeps_the_words_that_it_knew(
    trainer: TrainerHandle, tmp_path: Path
) -> None:
    """And it gets no weights of its checkpoint."""
    words = [f"What digit is this? {word}" for word in ("null", "eins", "zwei")] * 20
    processor = presets.processor(PRESETS["tiny-llava"], words)
    processor.save_pretrained(tmp_path)
    files = await asyncio.to_thread(contents, tmp_path)
    before = await trainer.create("earlier", hyperparameters=pb.Hyperparameters(epochs=1))
    worker = await trainer.claimed(before)
    await worker.commit(4, await worker.upload("checkpoints/step-4", {"weights.safetensors": b"w", **files}))
    await worker.succeed()
    trainer.backend.exits(worker.attempt, 0)
    more = pb.Hyperparameters(epochs=3)
    resumed = await show(
        trainer, rows=[5], hyperparameters=more, resume_from=pb.ResumeFrom(checkpoint=before.name)
    )
    fresh = await show(trainer, rows=[5], hyperparameters=more)
    then, now = (tokens(answer.examples[0].inputs[0]) for answer in (resumed, fresh))
    assert then != now
    said = processor.tokenizer(worker_data.word(worker_data.scans()[5][1]))["input_ids"]
    last = resumed.examples[0].inputs[0].spans[-1]
    assert list(last.token_ids) == [*said, processor.tokenizer.eos_token_id]


async def test_what_cannot_be_shown_is_said(trainer: TrainerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        await show(trainer, base_model=pb.BaseModel(preset="huge"))
    assert refused.value.reason == "SpecRefused"
    hub = pb.BaseModel(hub=pb.HubModel(repo_id="nobody/has-this"))
    with pytest.raises(errors.FailedPrecondition, match="VISIONTUNE_PREVIEW_DOWNLOADS") as unfit:
        await show(trainer, base_model=hub)
    assert unfit.value.reason == "PreviewRefused"
    with pytest.raises(errors.FailedPrecondition, match="no row 120"):
        await show(trainer, rows=[COUNT])
    with pytest.raises(errors.InvalidArgument):
        await show(trainer, rows=[1, 1])
    monkeypatch.setattr(preview, "find_spec", lambda _: None)
    with pytest.raises(errors.FailedPrecondition) as missing:
        await show(trainer)
    assert missing.value.reason == "PreviewNotInstalled"


@pytest.fixture
def long_texts(trainer: TrainerHandle) -> Iterator[None]:
    """Statistics that do not tell whether all fits, and the rows with most of everything."""
    trainer.datasets.most_tokens, trainer.datasets.largest = 3000, [5, 3]
    yield
    trainer.datasets.most_tokens, trainer.datasets.largest = 40, []


async def validated(trainer: TrainerHandle, **spec: Any) -> Any:
    job = create_request(**spec).training_job
    request = pb.ValidateTrainingJobRequest(parent=PARENT, training_job=job)
    return await trainer.call("ValidateTrainingJob", request)


async def test_where_statistics_suffice_nobody_looks_at_examples(trainer: TrainerHandle) -> None:
    before = trainer.datasets.listings
    answer = await validated(trainer)
    assert (list(answer.problems), list(answer.warnings)) == ([], [])
    assert trainer.datasets.listings == before


@pytest.mark.usefixtures("long_texts")
async def test_an_example_that_is_too_long_is_named_before_the_job_starts(trainer: TrainerHandle) -> None:
    shown = (await show(trainer, rows=[5, 3])).examples
    counts = {each.id: each.inputs[0].token_count for each in shown}
    short = pb.Hyperparameters(max_length=20)
    answer = await validated(trainer, hyperparameters=short)
    [problem] = answer.problems
    assert problem.field == "training_job.spec.hyperparameters.max_length"
    assert problem.rule == "example_too_long"
    most = max(counts.values())
    assert any(f"Example '{id_}' (row " in problem.message for id_, count in counts.items() if count == most)
    assert f"has {most} tokens, images included, and 20 are read" in problem.message
    assert "of an answer" in problem.message
    assert f"Set it to {most} or more" in problem.remedy
    with pytest.raises(errors.InvalidArgument, match="Nothing is cut") as refused:
        await trainer.create("short", hyperparameters=short)
    assert refused.value.reason == "SpecRefused"
    fits = pb.Hyperparameters(max_length=most)
    assert list((await validated(trainer, hyperparameters=fits)).problems) == []


@pytest.mark.usefixtures("long_texts")
async def test_what_is_left_out_or_only_estimated_is_a_warning(
    trainer: TrainerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = pb.Hyperparameters(max_length=20)
    skip = pb.Loading(on_bad_example=pb.Loading.ON_BAD_EXAMPLE_SKIP)
    await show(trainer, rows=[5])  # so that no loading takes the time of the next call
    answer = await validated(trainer, hyperparameters=short, loading=skip)
    assert list(answer.problems) == []
    [warning] = answer.warnings
    assert "longer ones are left out" in warning.message
    monkeypatch.setattr(preview, "find_spec", lambda _: None)
    answer = await validated(trainer, hyperparameters=short)
    assert list(answer.problems) == []
    [warning] = answer.warnings
    assert "The longest example has about 3,016 tokens" in warning.message
    assert "That is estimated" in warning.message


@pytest.mark.usefixtures("long_texts")
async def test_tokens_for_a_model_of_the_hub_are_counted_where_its_processor_is_at_hand(
    trainer: TrainerHandle, hub_cache: Path
) -> None:
    commit = "c" * 40
    snapshot = hub_cache / "models--somebody--llava" / "snapshots" / commit
    processor = presets.processor(PRESETS["tiny-llava"], worker_data.texts())
    presets.config(PRESETS["tiny-llava"], processor.tokenizer).save_pretrained(snapshot)
    asked: dict[str, Any] = {
        "base_model": pb.BaseModel(hub=pb.HubModel(repo_id="somebody/llava", revision=commit)),
        "hyperparameters": pb.Hyperparameters(max_length=20),
    }
    await show(trainer, rows=[5])  # so that no loading takes the time of the next call
    answer = await validated(trainer, **asked)
    assert list(answer.problems) == []
    [warning] = answer.warnings
    assert "That is estimated" in warning.message
    processor.save_pretrained(snapshot)
    [example] = (await show(trainer, rows=[5], **asked)).examples
    [problem] = (await validated(trainer, **asked)).problems
    assert problem.rule == "example_too_long"
    assert f"has {example.inputs[0].token_count} tokens" in problem.message
