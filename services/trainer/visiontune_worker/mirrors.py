"""Metrics for the trackers that an operator runs, beside what the trainer keeps. See docs/decisions/0017.

A tracker may be slow, or away: it is spoken to by a thread of its own, and trouble with it ends no training.
"""

import importlib.util
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from visiontune_worker.claim import Claim
from visiontune_worker.faults import EnvironmentFault
from visiontune_worker.settings import Settings

# By name: the package that has to be in the worker's image.
PACKAGES: Mapping[str, str] = {
    "mlflow": "mlflow",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
}
MOST_WAITING = 10_000
# A machine that takes itself away does not wait longer.
FAREWELL_S = 5.0

log = structlog.get_logger(__name__)


class Mirrors:
    """Passes metrics on, in their order. `tell` never waits: what a slow tracker cannot take is dropped."""

    def __init__(self, trackers: Sequence[GeneralTracker], about: Mapping[str, Any]) -> None:
        self._trackers = list(trackers)
        self._about = about
        self._waiting: queue.Queue[tuple[int, dict[str, float]] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._pass_on, name="mirrors", daemon=True)
        if trackers:
            self._thread.start()

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Has values of a step passed on, from any thread."""
        if self._trackers:
            with suppress(queue.Full):
                self._waiting.put_nowait((step, dict(values)))

    def close(self) -> None:
        """Passes on what is waiting and ends the runs, within FAREWELL_S."""
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._thread.join(FAREWELL_S)

    def _pass_on(self) -> None:
        self._each(lambda tracker: tracker.start())
        self._each(lambda tracker: tracker.store_init_configuration(dict(self._about)))
        while (told := self._waiting.get()) is not None:
            step, values = told
            self._each(lambda tracker: tracker.log(values, step=step))  # noqa: B023 - called at once
        self._each(lambda tracker: tracker.finish())

    def _each(self, call: Callable[[GeneralTracker], None]) -> None:
        """Calls the trackers; one that fails is left alone from then on."""
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, training goes on
                log.warning("tracker_left", tracker=tracker.name, error=repr(error))
                self._trackers.remove(tracker)


def mirrors_of(claim: Claim, settings: Settings) -> Mirrors:
    """The operator's trackers, with a run for this attempt. EnvironmentFault when one cannot be had."""
    names = settings.trackers
    if not names:
        return Mirrors((), {})
    PartialState()  # What accelerate's trackers log by.
    return Mirrors([_tracker(name, claim, settings.report_dir) for name in names], _about(claim))


def _tracker(name: str, claim: Claim, folder: Path | None) -> GeneralTracker:
    _, project, _, job = claim.training_job.split("/")
    run = f"{job}-{claim.attempt_number}"
    _require(name, folder)
    made = LOGGER_TYPE_TO_CLASS[name]
    match name:
        case "tensorboard":
            return made(f"{project}/{run}", logging_dir=folder)
        case "mlflow":
            return made(project, run_name=run, tags={"training_job": claim.training_job})
        case "wandb":
            return made(project, name=run, group=job)
        case _:
            return made(project, name=run)


def _require(name: str, folder: Path | None) -> None:
    if name not in PACKAGES:
        raise EnvironmentFault(
            "TRACKER_UNKNOWN",
            f"VISIONTUNE_WORKER_REPORT_TO names {name!r}. Known are {', '.join(sorted(PACKAGES))}.",
        )
    if importlib.util.find_spec(PACKAGES[name]) is None:
        raise EnvironmentFault(
            "TRACKER_MISSING",
            f"VISIONTUNE_WORKER_REPORT_TO names {name}, and the package {PACKAGES[name]} is not installed "
            "where the worker runs. Add it to the worker's image, or take the name out.",
        )
    if name == "tensorboard" and folder is None:
        raise EnvironmentFault(
            "TRACKER_WITHOUT_FOLDER",
            "VISIONTUNE_WORKER_REPORT_TO names tensorboard, which writes files. Name a folder that outlives "
            "the worker as VISIONTUNE_WORKER_REPORT_DIR.",
        )


def _about(claim: Claim) -> dict[str, str | float | int | bool]:
    """What a run is compared by: the numbers of the spec, and what it is about."""
    spec = claim.spec.to_dict()
    numbers = {
        name: value
        for name, value in spec.get("hyperparameters", {}).items()
        if isinstance(value, str | float | int | bool)
    }
    return {
        **numbers,
        "training_job": claim.training_job,
        "dataset_version": claim.spec.dataset_version,
        "spec_digest": claim.spec_digest,
    }
