"""What examples hold reaches the model as what it is, or is refused before a step is made."""

from pathlib import Path

from visiontune_recipes.facts import Kind
from visiontune_worker.faults import Exit

from tests.support import families, worker_data, worker_run

SHORT = {
    "hyperparameters": {"batch_size": 4, "max_steps": 2},
    "evaluation": {"max_new_tokens": 2, "sample_count": 2},
}


def videos(count: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number in range(count):
        example = families.video(number)
        rows.append(
            {
                "id": example.id,
                "images": [{"bytes": frame, "path": f"{n}.png"} for n, frame in enumerate(example.images)],
                "messages": example.messages,
                "frames": [{"first": first, "count": size} for first, size in example.videos.items()],
                "split": "validation" if number % 5 == 0 else "train",
                "metadata": "{}",
            }
        )
    return rows


def test_videos_are_seen_as_videos(tmp_path: Path) -> None:
    asked = worker_data.spec({"preset": "tiny-qwen2-vl"}, **SHORT)
    with worker_run.job(tmp_path, asked, videos(10), kind=Kind.CHAT_WITH_VIDEO) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert [sample.prompt for sample in trainer.samples] == ["<video>What happens?"] * 2
        assert trainer.losses()[2] < trainer.losses()[1]


def test_text_alone_is_trained_on(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": each.id, "messages": each.messages, "split": split, "metadata": "{}"}
        for each, split in zip(map(families.chat, range(10)), ["train"] * 8 + ["validation"] * 2, strict=True)
    ]
    asked = worker_data.spec({"preset": "tiny-text"}, **SHORT)
    with worker_run.job(tmp_path, asked, rows, shards=1, kind=Kind.CHAT) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert trainer.losses()[2] < trainer.losses()[1]
        card = (trainer.store.folder / "artifacts/model/README.md").read_text()
        assert "AutoModelForCausalLM.from_pretrained" in card
        assert "picture.png" not in card


def test_a_model_that_does_not_take_the_kind_is_refused(tmp_path: Path) -> None:
    asked = worker_data.spec({"preset": "tiny-llava"}, **SHORT)
    with worker_run.job(tmp_path, asked, videos(5), kind=Kind.CHAT_WITH_VIDEO) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.CONFIGURATION
        assert trainer.finished[0].reason == "KIND_NOT_TAKEN"
        assert "CHAT_WITH_VIDEO" in trainer.finished[0].message
