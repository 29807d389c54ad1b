"""The first ten losses of every family, and those of a plain transformers loop on the same examples."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils.data import SequentialSampler
from visiontune_data import pictures
from visiontune_recipes.facts import Kind
from visiontune_recipes.families import Family
from visiontune_worker import build
from visiontune_worker.objectives.conversations import frames_of, video_arguments
from visiontune_worker.shards import Example

from tests.support import families
from tests.support.families import WITH_PRESET, built, training

STEPS = 10
RATE = 2e-3
# One that no template can tell what is an answer has a test of its own, in test_unlike_pictures.
ANSWERING = {
    name: family
    for name, family in WITH_PRESET.items()
    if family.objective == "causal_lm" and family.encode is None
}
each = pytest.mark.parametrize("family", families.often(ANSWERING, ["qwen2_vl"]))


def planned(family: Family) -> list[list[Example]]:
    """Four examples a step, of one kind as processors want them, one kind after the other."""
    kinds = [kind for kind in family.takes if kind in families.EXAMPLES]
    return [
        [families.EXAMPLES[kinds[step % len(kinds)]](4 * step + nth) for nth in range(4)]
        for step in range(STEPS)
    ]


def ours(family: Family, made: build.Built, steps: Sequence[Sequence[Example]]) -> list[float]:
    trained = training(family, made, learning_rate=RATE)
    made.train()
    return [trained.advance([families.batch(family, made, step)]).loss.item() for step in steps]


def plain(family: Family, made: build.Built, steps: Sequence[Sequence[Example]]) -> list[float]:
    """What anyone would write with transformers alone: template, labels, model(**batch).loss."""
    optimiser = torch.optim.AdamW(made.trainable().values(), lr=RATE, weight_decay=0.0)
    made.train()
    losses = []
    for step in steps:
        inputs = plain_batch(family, made, step)
        labels = inputs["input_ids"].masked_fill(inputs.pop("assistant_masks") == 0, -100)
        loss = made.model(**inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(made.trainable().values(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


def plain_batch(family: Family, made: build.Built, examples: Sequence[Example]) -> Any:
    """All examples in one call of the processor, or of the tokenizer."""
    common = {
        "tokenize": True,
        "return_dict": True,
        "return_assistant_tokens_mask": True,
        "return_tensors": "pt",
    }
    if Kind.CHAT_WITH_IMAGES not in family.takes:
        messages = [
            [{"role": m["role"], "content": m["content"][0]["text"]} for m in example.messages]
            for example in examples
        ]
        arguments: dict[str, Any] = {"padding": True, "tokenizer_kwargs": {"padding_side": "right"}}
        found = dict(made.processor.apply_chat_template(messages, **common, **arguments))
        found.pop("token_type_ids", None)  # no decoder takes them
        return found
    conversations = [seen(family, example) for example in examples]
    videos = [p["video"] for c in conversations for m in c for p in m["content"] if p["type"] == "video"]
    arguments = {"padding": True, "padding_side": "right", **(video_arguments(videos) if videos else {})}
    return dict(made.processor.apply_chat_template(conversations, **common, processor_kwargs=arguments))


def seen(family: Family, example: Example) -> list[dict[str, Any]]:
    """The messages with the example's pictures, frames of a video as one part."""
    images = iter([pictures.read(data) for data in example.images])
    messages = []
    for message in example.messages:
        content: list[dict[str, Any]] = [
            {"type": "image", "image": next(images)} if part["type"] == "image" else dict(part)
            for part in message["content"]
        ]
        if example.videos and message["role"] == "user":
            frames = [part["image"] for part in content if part["type"] == "image"]
            chosen = [frames[number] for number in frames_of(len(frames), family.video_frames)]
            content = [{"type": "video", "video": chosen}, content[-1]]
        messages.append({"role": message["role"], "content": content})
    return messages


@each
def test_the_first_ten_losses_are_those_of_a_plain_loop(family: Family) -> None:
    steps = planned(family)
    found = ours(family, built(family, *family.parts.names), steps)
    expected = plain(family, built(family, *family.parts.names), steps)
    assert found == pytest.approx(expected, abs=2e-5)
    assert min(found) < 0.7 * found[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "text"])
def test_the_first_ten_losses_are_those_of_trl(name: str, tmp_path: Any) -> None:
    from datasets import Dataset, Image, List  # noqa: PLC0415 - seconds, for this test alone
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]  # noqa: PLC0415 - likewise

    class InOrder(SFTTrainer):
        """TRL's trainer, which otherwise shuffles."""

        def _get_train_sampler(self, *_: Any) -> Any:
            rows: Any = self.train_dataset
            return SequentialSampler(rows)

    family = WITH_PRESET[name]
    make = families.pictures if family.parts.vision_tower else families.chat
    steps = [[make(4 * step + nth) for nth in range(4)] for step in range(STEPS)]
    made = built(family, *family.parts.names)
    rows = [
        {
            **({"images": [{"bytes": example.images[0], "path": None}]} if example.images else {}),
            "prompt": [{"role": "user", "content": example.messages[0]["content"][-1]["text"]}],
            "completion": [{"role": "assistant", "content": example.messages[1]["content"][0]["text"]}],
        }
        for step in steps
        for example in step
    ]
    dataset = Dataset.from_list(rows)
    trainer = InOrder(
        model=made.model,
        args=SFTConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            max_steps=STEPS,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            logging_steps=1,
            gradient_checkpointing=False,
            bf16=False,
            max_length=None,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=dataset.cast_column("images", List(Image())) if "images" in rows[0] else dataset,
        processing_class=made.processor,
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert ours(family, built(family, *family.parts.names), steps) == pytest.approx(theirs, abs=5e-5)
