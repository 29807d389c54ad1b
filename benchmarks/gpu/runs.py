"""One run of a kind: ours or TRL's, some steps on what `shapes.prepare` wrote into a folder."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from visiontune_recipes.families.qwen2_vl import FAMILY
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Quantisation
from visiontune_worker import build, loop, objectives, quantised
from visiontune_worker.feed import feed
from visiontune_worker.order import Order
from visiontune_worker.settings import Settings

from benchmarks.gpu.shapes import QUESTION, answer_of, rows
from benchmarks.result import peak_bytes
from tests.support import worker_data

# Before those that are timed: kernels are chosen, and the optimiser's state appears.
WARM_UP = 3
RANK, ALPHA = 16, 32


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run trains. batch: examples of a step. steps: that are timed."""

    method: str
    batch: int
    steps: int
    on_cpu: bool


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run took: the median of its steps, the most memory, the losses of its first and last step."""

    step_s: float
    peak_bytes: float
    losses: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


class _Clock:
    """Notes when steps end, on an accelerator when their work is done."""

    def __init__(self, *, on_cpu: bool) -> None:
        self._on_cpu = on_cpu
        self._marks: list[float] = []

    def mark(self) -> None:
        if not self._on_cpu:
            torch.cuda.synchronize()
        self._marks.append(time.perf_counter())

    def ran(self, first_loss: float, last_loss: float) -> Ran:
        steps = [after - before for before, after in pairwise(self._marks[WARM_UP - 1 :])]
        peak = peak_bytes() if self._on_cpu else torch.cuda.max_memory_allocated()
        return Ran(median(steps), peak, (first_loss, last_loss))


def ours(folder: Path, asked: Asked) -> Ran:
    """The worker's own pipeline and step, as `run` puts them together."""
    manifest = worker_data.write_shards(folder / "data", rows(folder))
    spec = resolve(
        worker_data.spec(
            {"path": str(folder / "model")},
            hyperparameters={"batch_size": asked.batch},
            adaptation={
                "method": f"METHOD_{asked.method.upper()}",
                "projector": "PART_FREEZE",
                "lora": {"rank": RANK, "alpha": ALPHA},
            },
            loading={"feature_cache": "FEATURE_CACHE_OFF"},
            resources={} if asked.on_cpu else {"accelerator": "any", "accelerator_count": 1},
        ),
        manifest.facts,
    )
    built = build.build(spec, build.Sources(roots=(folder,)))
    shards = worker_data.local_shards(manifest, folder / "data", folder / "scratch")
    order = Order(shards.counts("train"), asked.batch, 1, seed=0)
    steps = WARM_UP + asked.steps
    training = loop.Training(built, objectives.of(built, spec), spec.hyperparameters, order, steps)
    settings = Settings(
        trainer_target="none:1",
        attempt="projects/p/trainingJobs/j/attempts/1",
        token="none",  # noqa: S106 - there is no trainer here
        scratch_dir=folder / "scratch",
    )
    clock, losses = _Clock(on_cpu=asked.on_cpu), []
    built.train()
    for batches in feed(training, spec, manifest, shards, settings).batches(0, steps):
        losses.append(training.advance(batches).loss)
        clock.mark()
    return clock.ran(losses[0].item(), losses[-1].item())


def trl(folder: Path, asked: Asked) -> Ran:
    """TRL as its documentation shows it for vision, with the same adapters on the same weights."""
    # Not where it would weigh on the memory of ours.
    from datasets import Dataset, Image, List  # noqa: PLC0415
    from peft import LoraConfig  # noqa: PLC0415
    from transformers import AutoProcessor, Qwen2VLForConditionalGeneration, TrainerCallback  # noqa: PLC0415
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]  # noqa: PLC0415 - exported lazily

    clock = _Clock(on_cpu=asked.on_cpu)

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark()

    dtype = torch.float32 if asked.on_cpu else torch.bfloat16
    own: dict[str, Any] = {"dtype": dtype}
    if asked.method == "qlora":
        own |= quantised.loading(Quantisation.NF4, ["lm_head"], dtype, torch.device("cuda", 0))
    examples = [
        {
            "images": row["images"],
            "prompt": [{"role": "user", "content": QUESTION}],
            "completion": [{"role": "assistant", "content": answer_of(row)}],
        }
        for row in rows(folder)
    ]
    trainer = SFTTrainer(
        model=Qwen2VLForConditionalGeneration.from_pretrained(folder / "model", **own),
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            per_device_train_batch_size=asked.batch,
            max_steps=WARM_UP + asked.steps,
            gradient_checkpointing=False,
            bf16=not asked.on_cpu,
            max_length=None,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            use_cpu=asked.on_cpu,
        ),
        train_dataset=Dataset.from_list(examples).cast_column("images", List(Image())),
        processing_class=AutoProcessor.from_pretrained(folder / "model"),  # type: ignore[no-untyped-call]
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=FAMILY.lora.language_model),
        callbacks=[Watch()],
    )
    trainer.train()
    losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    return clock.ran(losses[0], losses[-1])


RUNS: Mapping[str, Callable[[Path, Asked], Ran]] = {"ours": ours, "trl": trl}
