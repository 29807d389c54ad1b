"""Training samples/s with a frozen tower from the second epoch on: ours, which keeps features, and TRL's.

The model has the shape of SmolVLM-256M (a SigLIP-B/16 tower at 512 pixels, 64 tokens a picture, a decoder of
135 M parameters) and random weights; low-rank adapters sit in the decoder, projector and tower are frozen.
Both see the same photographs, one a conversation, in batches of the same size, in float32, without gradient
checkpointing, with as many threads as there are cores. A step of TRL's takes half a minute of CPU, so there
are few; seconds of CPU vary less than speeds on a machine that others use, so there is a line of each.
"""

import shutil
import statistics
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from visiontune_recipes.families import FAMILIES
from visiontune_recipes.families.smolvlm import TINY
from visiontune_recipes.presets import Preset
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Spec
from visiontune_worker import bases, build, loop, objectives
from visiontune_worker.feed import feed
from visiontune_worker.order import Order
from visiontune_worker.settings import Settings

from benchmarks.bench_import import Photographs, write_photographs
from benchmarks.result import Result, Took, now
from tests.support import worker_data

EXAMPLES = 8
BATCH = 4
EPOCHS = 3
AIM = 3.0
QUESTION = "What is this a part of?"
SIDE_PX = 512
SIZE = {"longest_edge": SIDE_PX}
TOWER = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": SIDE_PX,
    "patch_size": 16,
}
DECODER = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


def measure() -> list[Result]:
    """Medians of the steps after the first epoch."""
    with tempfile.TemporaryDirectory() as name:
        bench = _Bench(Path(name))
        ours, trl = bench.ours(), bench.trl()
    what = "training with a frozen tower from the second epoch on, SmolVLM-256M's shape, against TRL"
    return [
        Result(what, "samples/s", BATCH / ours.wall_s, BATCH / trl.wall_s, AIM),
        Result(f"{what}, CPU of a step", "s", ours.cpu_s, trl.cpu_s, AIM, less_is_better=True),
    ]


class _Bench:
    """One model and one dataset; each run loads the model anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "photographs").mkdir()
        pictures = write_photographs(folder / "photographs", Photographs(EXAMPLES, 640, 480))
        self._rows: list[Any] = [_row(number, path) for number, path in enumerate(pictures)]
        self._manifest = worker_data.write_shards(folder / "data", self._rows)
        self._model = folder / "model"
        self._marks: list[Took] = []
        texts = [QUESTION, *(row["messages"][1]["content"][0]["text"] for row in self._rows)] * 5
        model, processor, _ = bases.from_preset(_shape(), bases.Sources(texts=texts), FAMILIES)
        model.save_pretrained(self._model)
        processor.save_pretrained(self._model)

    def ours(self) -> Took:
        """The worker's own pipeline and loop, as `run` puts them together."""
        spec = self._spec()
        built = build.build(spec, build.Sources(roots=(self._folder,)))
        scratch = self._folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        shards = worker_data.local_shards(self._manifest, self._folder / "data", scratch)
        order = Order(shards.counts("train"), BATCH, 1, seed=0)
        steps = order.steps_per_epoch * EPOCHS
        training = loop.Training(built, objectives.of(built, spec), spec.hyperparameters, order, steps)
        settings = Settings(
            trainer_target="none:1",
            attempt="projects/p/trainingJobs/j/attempts/1",
            token="none",  # noqa: S106 - there is no trainer here
            scratch_dir=scratch,
        )
        given = feed(training, spec, self._manifest, shards, settings)
        self._marks.clear()
        loop.run(
            training,
            given.batches(0, steps),
            meter=loop.Meter(training, tell=lambda _: None),
            after_step=self._mark,
        )
        return self._step()

    def trl(self) -> Took:
        """TRL as its documentation shows it for vision, with the same adapters."""
        from datasets import Dataset, Image, List  # noqa: PLC0415 - as in bench_training
        from peft import LoraConfig  # noqa: PLC0415
        from transformers import AutoProcessor, SmolVLMForConditionalGeneration, TrainerCallback  # noqa: PLC0415
        from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]  # noqa: PLC0415 - exported lazily

        mark = self._mark

        class Watch(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                mark()

        rows = [
            {
                "images": row["images"],
                "prompt": [{"role": "user", "content": QUESTION}],
                "completion": [{"role": "assistant", "content": row["messages"][1]["content"][0]["text"]}],
            }
            for row in self._rows
        ]
        numbers = self._spec().hyperparameters
        trainer = SFTTrainer(
            model=SmolVLMForConditionalGeneration.from_pretrained(self._model),
            args=SFTConfig(
                output_dir=str(self._folder / "trl"),
                per_device_train_batch_size=BATCH,
                num_train_epochs=EPOCHS,
                learning_rate=numbers.learning_rate or 0.0,
                gradient_checkpointing=False,
                bf16=False,
                max_length=None,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=Dataset.from_list(rows).cast_column("images", List(Image())),
            processing_class=AutoProcessor.from_pretrained(self._model),  # type: ignore[no-untyped-call]
            peft_config=LoraConfig(
                r=16, lora_alpha=32, target_modules=FAMILIES["smolvlm"].lora.language_model
            ),
            callbacks=[Watch()],
        )
        self._marks.clear()
        trainer.train()
        return self._step()

    def _spec(self) -> Spec:
        asked = worker_data.spec(
            {"path": str(self._model)},
            hyperparameters={"batch_size": BATCH, "epochs": EPOCHS},
            adaptation={
                "method": "METHOD_LORA",
                "projector": "PART_FREEZE",
                "lora": {"rank": 16, "alpha": 32},
            },
        )
        return resolve(asked, self._manifest.facts)

    def _mark(self) -> None:
        self._marks.append(now())

    def _step(self) -> Took:
        """The median of the steps after the first epoch."""
        later = self._marks[EXAMPLES // BATCH - 1 :]
        steps = [after.since(before) for before, after in pairwise(later)]
        found = Took(*(statistics.median(each) for each in zip(*steps, strict=True)))
        print(f"  a step: {found.wall_s:.1f} s, {found.cpu_s:.1f} s of CPU", flush=True)
        return found


def _shape() -> Preset:
    return replace(
        TINY,
        config={"model_type": "smolvlm", "vision_config": TOWER, "text_config": DECODER, "scale_factor": 4},
        processor=_processor,
        vocabulary_size=49_280,
    )


def _processor(tokenizer: Any) -> Any:
    """The preset's, for one tile of 512 pixels a picture."""
    from transformers import SmolVLMImageProcessor  # noqa: PLC0415 - as in the family's module

    assert TINY.processor
    processor = TINY.processor(tokenizer)
    processor.image_processor = SmolVLMImageProcessor(
        size=SIZE, max_image_size=SIZE, do_image_splitting=False
    )
    processor.image_seq_len = (SIDE_PX // 16 // 4) ** 2
    return processor


def _row(number: int, path: Path) -> dict[str, Any]:
    return {
        "id": f"photograph-{number}",
        "images": [{"bytes": path.read_bytes(), "path": path.name}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "text": None}, {"type": "text", "text": QUESTION}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": f"Of photograph {number}."}]},
        ],
        "split": "train",
        "metadata": "{}",
    }
