"""Runs the worker in this process or in one of its own, against the doubles of trainer and store."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from visiontune_recipes.facts import Kind
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Resources, Spec
from visiontune_trainer.compute.kubernetes.accelerators import Accelerator, Places
from visiontune_trainer.compute.kubernetes.manifests import PodChoices, job_manifest
from visiontune_trainer.ports import Launch
from visiontune_worker import loop
from visiontune_worker.__main__ import run_attempt
from visiontune_worker.faults import Exit
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.objectives.objective import Batch
from visiontune_worker.settings import Settings

from tests.cluster.pods import expand
from tests.support import warm_worker, worker_data, worker_store
from tests.support.worker_service import JOB, Trainer

ROWS = 120


@contextmanager
def job(
    folder: Path,
    asked: Spec | None = None,
    rows: list[dict[str, object]] | None = None,
    shards: int = 2,
    kind: Kind | None = None,
) -> Iterator[Trainer]:
    """A job with its data and its trainer: 96 training examples and 12 steps, unless told otherwise."""
    rows = rows or [worker_data.row(index) for index in range(ROWS)]
    with worker_store.serving(folder / "store") as store:
        manifest = worker_data.write_shards(
            folder / "store", rows, shards=shards, base_url=store.url, kind=kind
        )
        asked = asked or worker_data.spec(
            hyperparameters={"batch_size": 16, "epochs": 2}, evaluation={"max_new_tokens": 4}
        )
        trainer = Trainer(store, resolve(asked, manifest.facts), manifest)
        trainer.start()
        try:
            yield trainer
        finally:
            trainer.stop()


def environment(trainer: Trainer, scratch: Path, **more: str) -> dict[str, str]:
    """What a backend sets before it starts a worker."""
    return {
        "VISIONTUNE_WORKER_TRAINER_TARGET": f"127.0.0.1:{trainer.port}",
        "VISIONTUNE_WORKER_ATTEMPT": trainer.name,
        "VISIONTUNE_WORKER_TOKEN": trainer.token,
        "VISIONTUNE_WORKER_SCRATCH_DIR": str(scratch),
        "VISIONTUNE_WORKER_PATIENCE_S": "20",
        **more,
    }


def work(
    trainer: Trainer,
    scratch: Path,
    interrupts: Interrupts | None = None,
    *,
    patience_s: float = 20.0,
    model_roots: str = "",
    shard_cache_bytes: int = 10**9,
    **more: Any,
) -> Exit:
    """Runs one attempt in this process."""
    settings = Settings(
        trainer_target=f"127.0.0.1:{trainer.port}",
        attempt=trainer.name,
        token=SecretStr(trainer.token),
        scratch_dir=scratch,
        patience_s=patience_s,
        model_roots=model_roots,
        shard_cache_bytes=shard_cache_bytes,
        **more,
    )
    return run_attempt(settings, interrupts or Interrupts())


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Has something happen right after an optimiser step, once."""
    advance = loop.Training.advance

    def then_act(training: loop.Training, batches: Sequence[Batch]) -> loop.Measured:
        measured = advance(training, batches)
        if training.step == step:
            action()
        return measured

    monkeypatch.setattr(loop.Training, "advance", then_act)


def start(trainer: Trainer, scratch: Path, **more: str) -> subprocess.Popen[bytes]:
    """Starts the worker as a process of its own."""
    return subprocess.Popen(
        [warm_worker.python(), "-m", "visiontune_worker"],
        env={**os.environ, **environment(trainer, scratch, **more)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def start_ranks(trainer: Trainer, folder: Path, nodes: int = 1, **more: str) -> list[subprocess.Popen[bytes]]:
    """Starts two ranks of a worker by the command of their pods: two in one, or each in its own.

    What they write is in `folder / "log-0"`; see exit_codes and worker_rank for what else is told and asked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = environment(trainer, folder / "scratch", VISIONTUNE_TEST_FOLDER=str(folder), **more)
    master = {"VISIONTUNE_MASTER_ADDR": "127.0.0.1", "VISIONTUNE_MASTER_PORT": str(_free_port())}
    launchers = []
    for node in range(nodes):
        command = _command(nodes, {**master, "JOB_COMPLETION_INDEX": str(node)})
        with (folder / f"log-{node}").open("wb") as log:
            launchers.append(subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log))
    return launchers


def _command(nodes: int, variables: Mapping[str, str]) -> list[str]:
    """What a pod of two processes on so many nodes runs, with the tests' worker in place of the real one."""
    resources = Resources(accelerator="any", accelerator_count=2 // nodes, nodes=nodes)
    launch = Launch(f"{JOB}/attempts/1", "", "", resources=resources)
    job = job_manifest(launch, Places(accelerators={"any": Accelerator()}), PodChoices(image="any"))
    python, *words, worker = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert (python, worker) == ("python", "visiontune_worker")
    return [sys.executable, *(expand(word, variables) for word in words), "tests.support.worker_rank"]


def _free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def exit_codes(folder: Path) -> dict[int, int]:
    """How the ranks ended, those that ended by themselves."""
    return {int(each.name[5:]): int(each.read_text()) for each in sorted(folder.glob("exit-*"))}
