"""The worker as its launcher starts it, to one rank of which something happens at a step.

VISIONTUNE_TEST_AT is `rank:step:what`, several separated by commas. What happens: SIGKILL or SIGTERM to that
rank; `launcher`: SIGTERM to torchrun, as when a pod ends; `memory`: the accelerator has none left; `hang`: a
call that does not return; `ConfigurationFault` or `DataFault`; `pause`: it hears that a user paused the job.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import torch
from visiontune_worker import faults, loop
from visiontune_worker.__main__ import main
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.objectives.objective import Batch
from visiontune_worker.ranks import Ranks


def happen(what: str) -> None:
    if what == "launcher":
        os.kill(os.getppid(), signal.SIGTERM)
    elif what == "hang":
        time.sleep(3600)
    elif what.endswith("Fault"):
        raise getattr(faults, what)("FROM_A_TEST", "so a test wants it")
    else:
        os.kill(os.getpid(), signal.Signals[what])


def arrange(at_step: int, what: str) -> None:
    """Has it happen once that step is made; lack of memory at the end of its backward passes."""
    advance = loop.Training.advance

    def then_happen(training: loop.Training, batches: Sequence[Batch]) -> loop.Measured:
        if what == "memory" and training.step + 1 == at_step:
            with mock.patch.object(Ranks, "sum_gradients", side_effect=torch.OutOfMemoryError):
                return advance(training, batches)
        measured = advance(training, batches)
        if training.step == at_step:
            happen(what)
        return measured

    mock.patch.object(loop.Training, "advance", then_happen).start()


def hear_pause(at_step: int) -> None:
    """Has the rank hear it before it looks, once that step is made."""
    check, made = Ranks.check, 0

    def hear_and_check(ranks: Ranks, interrupts: Interrupts) -> None:
        nonlocal made
        made += 1
        if made == at_step:
            interrupts.hear(faults.Paused("by a test"))
        check(ranks, interrupts)

    mock.patch.object(Ranks, "check", hear_and_check).start()


if __name__ == "__main__":
    rank = os.environ["RANK"]
    for each in filter(None, os.environ.get("VISIONTUNE_TEST_AT", "").split(",")):
        target, step, what = each.split(":")
        if target == rank and what == "pause":
            hear_pause(int(step))
        elif target == rank:
            arrange(int(step), what)
    code = main()
    Path(os.environ["VISIONTUNE_TEST_FOLDER"], f"exit-{rank}").write_text(str(int(code)))
    sys.exit(code)
