"""Everything from which a training goes on as if it had not stopped: weights, optimiser, position.

Nothing in it depends on the number of ranks. What a step draws at random follows from its position (`loop`).
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from visiontune_recipes.spec import Method, Spec

from visiontune_worker import optimisers
from visiontune_worker.attempt import Attempt
from visiontune_worker.build import Built
from visiontune_worker.claim import Claim, RemoteFile
from visiontune_worker.faults import ConfigurationFault, PassingFault
from visiontune_worker.loop import Training
from visiontune_worker.sharding import placed_like, whole
from visiontune_worker.standing import standing_from
from visiontune_worker.transfer import Transfer, UrlRefused
from visiontune_worker.uploads import upload_folder

WEIGHTS = "weights.safetensors"
STATE = "state.pt"
ABOUT = "about.json"
PROCESSOR = "processor"


@dataclass(frozen=True, slots=True)
class State:
    """Tensors of a training that a checkpoint holds, all of them whole."""

    weights: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]


def state_of(training: Training, spec: Spec) -> State:
    """The present state. Of a sharded model every rank has to ask, and gets it on the CPU."""
    weights, optimiser = weights_of(training, spec), training.optimiser.state_dict()
    if training.built.sharded:
        optimiser["state"] = {
            number: {name: whole(each).cpu() for name, each in moments.items()}
            for number, moments in optimiser["state"].items()
        }
    return State(weights, optimiser)


def write(training: Training, spec: Spec, spec_digest: str, folder: Path) -> None:
    """Writes a checkpoint of the state after `training.step` steps."""
    state = state_of(training, spec)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(dict(state.weights), folder / WEIGHTS)
    tensors = {"optimiser": state.optimiser, "scaler": training.scaler.state_dict()}
    torch.save(tensors, folder / STATE)
    about: dict[str, Any] = {"step": training.step, "epoch": training.epoch, "spec_digest": spec_digest}
    about["standing"] = asdict(training.standing)
    if training.most_examples is not None:
        about["most_examples"] = training.most_examples
    (folder / ABOUT).write_text(json.dumps(about))
    # The tokenizer of a preset is part of what was trained.
    training.built.processor.save_pretrained(folder / PROCESSOR)


def read(training: Training, folder: Path) -> None:
    """Puts a training into the state that `write` saw."""
    read_weights(training.built, folder)
    state = torch.load(folder / STATE, map_location=training.built.device, weights_only=True)
    optimisers.restore(training.optimiser, state["optimiser"])
    if training.built.sharded:
        for parameter, moments in training.optimiser.state.items():
            for name, each in moments.items():
                moments[name] = each if name == "step" else placed_like(each, parameter)
    if scaler := state.get("scaler"):
        training.scaler.load_state_dict(scaler)
    about = json.loads((folder / ABOUT).read_text())
    training.step, training.most_examples = about["step"], about.get("most_examples")
    training.standing = standing_from(about.get("standing"))


def weights_of(training: Training, spec: Spec) -> Mapping[str, Tensor]:
    """What a checkpoint holds of the model. Of a sharded one every rank asks, and gets it on the CPU."""
    weights = _weights(training, spec)
    return {name: whole(each).cpu() for name, each in weights.items()} if training.built.sharded else weights


def write_weights(training: Training, spec: Spec, folder: Path) -> None:
    """Writes the weights alone, on the rank that leads; of a sharded model every rank has to call."""
    weights = weights_of(training, spec)
    if training.ranks.leads:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(dict(weights), folder / WEIGHTS)


def read_weights(built: Built, folder: Path) -> None:
    """Gives a model the weights of a checkpoint."""
    weights = load_file(folder / WEIGHTS, device=str(built.device))
    if built.sharded:
        present = built.model.state_dict()
        weights = {name: placed_like(each, present.get(name, each)) for name, each in weights.items()}
    _, unexpected = built.model.load_state_dict(weights, strict=False)
    if unexpected:
        raise PassingFault(
            "CHECKPOINT_DOES_NOT_FIT", f"The checkpoint has unknown weights: {unexpected[:5]}."
        )


def download_best(claim: Claim, step: int, folder: Path, transfer: Transfer) -> None:
    """Fetches the weights of the best evaluation, which was made at `step` by an earlier attempt."""
    if claim.best_step != step:
        raise PassingFault(
            "CHECKPOINT_DOES_NOT_FIT", f"The checkpoint of the best evaluation, step {step}, is not there."
        )
    download([each for each in claim.best_files if each.path == WEIGHTS], folder, transfer)


def download(files: Sequence[RemoteFile], folder: Path, transfer: Transfer) -> Path:
    """Fetches a checkpoint or a model.

    PassingFault when a URL expired: the next attempt gets fresh ones. ConfigurationFault for a path that
    leads out of the folder.
    """
    for file in files:
        to = _below(folder, file.path)
        try:
            transfer.get(file.url, to, sha256=file.sha256, size_bytes=file.size_bytes)
        except UrlRefused as error:
            raise PassingFault("URL_EXPIRED", f"The signed URL of {file.path} no longer works.") from error
    return folder


def _below(folder: Path, path: str) -> Path:
    """The file's place. The trainer refuses such paths too; this is where one would do harm."""
    segments = path.split("/")
    if "\\" in path or not {"", ".", ".."}.isdisjoint(segments):
        raise ConfigurationFault(
            "PATH_NOT_ALLOWED", f"The stored file {path!r} would lie outside its folder. Nothing was written."
        )
    return folder.joinpath(*segments)


class Saver:
    """Saves checkpoints: written between two steps, uploaded while training goes on.

    attempt: None where another rank saves; then saving is remembering the step.
    """

    def __init__(
        self, attempt: Attempt | None, transfer: Transfer, spec: Spec, spec_digest: str, scratch: Path
    ) -> None:
        self._attempt = attempt
        self._transfer = transfer
        self._spec = spec
        self._spec_digest = spec_digest
        self._scratch = scratch
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self.saved_step = -1
        self.took_s = 0.0  # to write and to store the last one

    def save(self, training: Training) -> None:
        """Saves the present state. Waits for the upload of the one before; raises what went wrong with it."""
        self.wait()
        self.saved_step = training.step
        if self._attempt is None:
            if training.built.sharded:
                state_of(training, self._spec)  # The rank that saves cannot ask alone.
            return
        began = time.monotonic()
        folder = self._scratch / f"step-{training.step}"
        write(training, self._spec, self._spec_digest, folder)
        best = training.standing.best
        best_step = best.step if best else None
        self._pending = self._pool.submit(
            self._upload, self._attempt, folder, training.step, training.epoch, best_step, began
        )

    def wait(self) -> None:
        """Waits until the last checkpoint is committed."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Lets a running upload end and forgets about its fate."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _upload(
        self, attempt: Attempt, folder: Path, step: int, epoch: float, best_step: int | None, began: float
    ) -> None:
        files = upload_folder(attempt, self._transfer, folder, f"checkpoints/step-{step}")
        attempt.commit_checkpoint(step=step, epoch=epoch, files=files, best_step=best_step)
        shutil.rmtree(folder, ignore_errors=True)
        self.took_s = time.monotonic() - began


def _weights(training: Training, spec: Spec) -> dict[str, torch.Tensor]:
    """What trains; all of the model when it was random at the start. Tied weights are saved once."""
    was_random = spec.base_model.preset is not None and spec.adaptation.method is Method.FULL
    weights: Mapping[str, torch.Tensor] = (
        training.built.model.state_dict(keep_vars=True) if was_random else training.built.trainable()
    )
    # Tied ones are one object under several names.
    names = {id(each): name for name, each in weights.items()}
    return {name: weights[name].detach().contiguous() for name in names.values()}
