"""Training samples/s: ours against TRL's SFTTrainer and a plain loop; same model, data and batch size.

A run is a short job of EPOCHS epochs from cold: all that happens to an example (decoding, template, tokens,
pixels) is in it. The three take turns; what is reported are medians. TRL runs without gradient checkpointing
and bf16, with max_length None (its default cuts image tokens). All get one torch thread, as our worker takes
for a model of this size.
"""

import copy
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from visiontune_recipes.resolve import resolve
from visiontune_worker import build, loop, objectives
from visiontune_worker.data import Examples, ahead, plan
from visiontune_worker.order import Order

from benchmarks.result import Result, Took, interleaved, now, peak_bytes
from tests.support import worker_data

ROWS = 200  # 160 of them for training
BATCH = 32
EPOCHS = 6  # what the preset takes by default
ROUNDS = 7
AIM = 1.3


def measure() -> list[Result]:
    """Interleaved medians of samples/s, and of samples a second of CPU, which vary less."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        bench = _Bench(Path(name))
        kinds: dict[str, Callable[[], Took]] = {"ours": bench.ours, "trl": bench.trl, "plain": bench.plain}
        found: dict[str, list[Took]] = {kind: [] for kind in kinds}
        for round_number in range(ROUNDS + 1):
            for kind, run in kinds.items():
                took = run()
                # The first round warms up: imports, kernels, the file cache.
                if round_number:
                    found[kind].append(took)
                print(f"  {kind}: {took.wall_s:.2f} s, {took.cpu_s:.2f} s of CPU", flush=True)
    wall = {
        kind: bench.seen / statistics.median(took.wall_s for took in all_) for kind, all_ in found.items()
    }
    cpu = {kind: bench.seen / statistics.median(took.cpu_s for took in all_) for kind, all_ in found.items()}
    peers = {"trl": ("TRL's SFTTrainer", AIM), "plain": ("a plain transformers loop", 1.0)}
    return [
        *(
            Result(
                f"training, {EPOCHS} epochs from cold, against {peer}",
                unit,
                speeds["ours"],
                speeds[kind],
                aim,
            )
            for unit, speeds in (("samples/s", wall), ("samples/s of CPU", cpu))
            for kind, (peer, aim) in peers.items()
        ),
        _memory(),
    ]


def _memory() -> Result:
    """Peak memory of a run, each in a process of its own."""

    def peak(kind: str) -> Callable[[], float]:
        command = [sys.executable, "-m", "benchmarks.bench_training", kind]
        return lambda: float(subprocess.check_output(command).split()[-1]) / 2**20

    ours, trl = interleaved(peak("ours"), peak("trl"))
    return Result(
        name="training, peak memory of the process, against TRL's SFTTrainer",
        unit="MiB",
        ours=ours,
        peer=trl,
        aim=1.0,
        less_is_better=True,
    )


def _print_peak(kind: str) -> None:
    """Runs one of the kinds and prints the most bytes that were in memory after its first step."""

    def forget_peak(step: int) -> None:
        if step == 1:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        bench = _Bench(Path(name), forget_peak)
        (bench.ours if kind == "ours" else bench.trl)()
    print(peak_bytes())


class _Bench:
    """One model and one dataset; every run starts from a copy of the same weights."""

    def __init__(self, folder: Path, after_step: Callable[[int], None] = lambda _: None) -> None:
        self._folder = folder
        self._after_step = after_step
        self._rows: list[Any] = [worker_data.row(index) for index in range(ROWS)]
        self._train = [row for row in self._rows if row["split"] == "train"]
        self._manifest = worker_data.write_shards(folder / "data", self._rows)
        self._spec = resolve(
            worker_data.spec(hyperparameters={"batch_size": BATCH, "epochs": EPOCHS}), self._manifest.facts
        )
        self._built = build.build(self._spec, build.Sources(texts=worker_data.texts()))
        self.seen = len(self._train) * EPOCHS

    def ours(self) -> Took:
        """The worker's own pipeline and loop, as `run` puts them together."""
        built = copy.copy(self._built)
        built.model = copy.deepcopy(self._built.model)
        scratch = self._folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        started = now()
        shards = worker_data.local_shards(self._manifest, self._folder / "data", scratch)
        objective = objectives.of(built, self._spec)
        examples = Examples(shards, "train", objective, cache_bytes=10**9)
        order = Order(shards.counts("train"), BATCH, 1, seed=0)
        steps = order.steps_per_epoch * EPOCHS
        training = loop.Training(built, objective, self._spec.hyperparameters, order, steps)
        loop.run(
            training,
            ahead(lambda: plan(shards, order, start=0, stop=steps), examples.batches),
            meter=loop.Meter(training, tell=lambda _: None),
            after_step=lambda: self._after_step(training.step),
        )
        return now().since(started)

    def trl(self) -> Took:
        """TRL as its documentation shows it for vision: prompt and completion, the processor as it is."""
        # Not where it would weigh on the memory of ours.
        from datasets import Dataset, Image, List  # noqa: PLC0415
        from transformers import TrainerCallback  # noqa: PLC0415
        from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]  # noqa: PLC0415 - exported lazily

        numbers = self._spec.hyperparameters
        rows = [
            {
                "images": row["images"],
                "prompt": [{"role": "user", "content": worker_data.QUESTION}],
                "completion": [{"role": "assistant", "content": row["messages"][1]["content"][0]["text"]}],
            }
            for row in self._train
        ]
        arguments = SFTConfig(
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
        )
        after_step = self._after_step

        class Watch(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                after_step(state.global_step)

        trainer = SFTTrainer(
            model=copy.deepcopy(self._built.model),
            args=arguments,
            train_dataset=Dataset.from_list(rows).cast_column("images", List(Image())),
            processing_class=self._built.processor,
            callbacks=[Watch()],
        )
        started = now()
        trainer.train()
        return now().since(started)

    def plain(self) -> Took:
        """Processor, forward, backward, clip, AdamW; nothing told, nothing prepared."""
        model = copy.deepcopy(self._built.model)
        model.train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        generator = torch.Generator().manual_seed(0)
        started = now()
        for _ in range(EPOCHS):
            places = torch.randperm(len(self._train), generator=generator).tolist()
            for first in range(0, len(places), BATCH):
                batch = self._processed([self._train[index] for index in places[first : first + BATCH]])
                labels = batch["input_ids"].masked_fill(batch.pop("assistant_masks") == 0, -100)
                model(**batch, labels=labels).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
        return now().since(started)

    def _processed(self, rows: list[Any]) -> Any:
        messages = [
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": Pillow.open(io.BytesIO(row["images"][0]["bytes"]))},
                        row["messages"][0]["content"][1],
                    ],
                },
                row["messages"][1],
            ]
            for row in rows
        ]
        return self._built.processor.apply_chat_template(
            messages,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )


if __name__ == "__main__":
    _print_peak(sys.argv[1])
