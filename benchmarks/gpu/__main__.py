"""Tokens/s, peak memory and MFU of low-rank adapters on a Qwen2-VL of 2 B parameters, against TRL.

The model has the published shape and random weights; adapters sit in its decoder, tower and projector are
frozen. Both train in bfloat16 on the same photographs, one a conversation, in batches of the same size,
without gradient checkpointing and without features that are kept. They take turns, each run in a process
of its own, so that peaks of memory are theirs. README.md beside this file has commands and results.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from benchmarks.gpu.runs import RUNS, Asked, Ran
from benchmarks.gpu.shapes import SHAPES, Model, prepare
from benchmarks.result import Result, table

LIBRARIES = ("torch", "transformers", "peft", "trl")


def main() -> None:
    """Measures and prints a section of README.md; with --run one of the runs, in this process."""
    given = _arguments()
    asked = Asked(given.method, given.batch, given.steps, given.on_cpu)
    if given.run:
        print(json.dumps(RUNS[given.run](given.folder, asked).as_json()))
        return
    if not given.on_cpu and not torch.cuda.is_available():
        raise SystemExit("There is no accelerator here. `--shape tiny --on-cpu` tries the commands without.")
    found: dict[str, list[Ran]] = {kind: [] for kind in RUNS}
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as name:
        model = prepare(SHAPES[given.shape], Path(name))
        for _ in range(given.rounds):
            for kind, ran in found.items():
                ran.append(_elsewhere(kind, Path(name)))
                print(f"  {kind}: {ran[-1]}", flush=True)
    card = "the processor" if given.on_cpu else torch.cuda.get_device_name()
    print(
        f"\n## {datetime.now(UTC):%d %B %Y}, {card}\n\n{table(results(model, asked, found, given.tflops))}\n"
    )
    print(f"`{' '.join(['python -m benchmarks.gpu', *sys.argv[1:]])}`")
    print(", ".join(f"{name} {version(name)}" for name in LIBRARIES) + ".")


def results(model: Model, asked: Asked, found: dict[str, list[Ran]], tflops: float) -> list[Result]:
    """Medians of the runs. tflops: what the card can do at bfloat16, in 10**12 operations a second."""
    step_s = {kind: median(each.step_s for each in ran) for kind, ran in found.items()}
    peak = {kind: median(each.peak_bytes for each in ran) / 2**20 for kind, ran in found.items()}
    speed = {kind: model.tokens * asked.batch / each for kind, each in step_s.items()}
    used = {kind: 100 * model.flops * asked.batch / each / (tflops * 1e12) for kind, each in step_s.items()}
    what = f"{model.name}, {asked.method}, {asked.batch} x {model.tokens} tokens, against TRL's SFTTrainer"
    return [
        Result(f"training {what}", "tokens/s", speed["ours"], speed["trl"], 1.0),
        Result(f"MFU of {what}", "%", used["ours"], used["trl"], 1.0),
        Result(f"peak memory of {what}", "MiB", peak["ours"], peak["trl"], 1.0, less_is_better=True),
    ]


def _elsewhere(kind: str, folder: Path) -> Ran:
    """A run in a process of its own, with our own arguments."""
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--run", kind, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Ran(**json.loads(done.stdout.splitlines()[-1]))


def _arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="qwen2-vl-2b")
    parser.add_argument("--method", choices=("lora", "qlora"), default="lora")
    parser.add_argument("--batch", type=int, default=4, help="examples of a step")
    parser.add_argument("--steps", type=int, default=20, help="that are timed; three before are not")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--tflops", type=float, default=989.0, help="of the card at bfloat16, dense; an H100's"
    )
    parser.add_argument("--on-cpu", action="store_true", help="to try the commands; measures nothing of use")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
