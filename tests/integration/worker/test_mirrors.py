"""Metrics beside the trainer's: TensorBoard's own files, read back; what is lacking is said at once."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from visiontune.worker.v1 import worker_pb2
from visiontune_worker import mirrors, system
from visiontune_worker.claim import Claim, Manifest
from visiontune_worker.faults import EnvironmentFault, Exit
from visiontune_worker.settings import Settings

from tests.support import worker_data, worker_run

SHORT = worker_data.spec(
    hyperparameters={"batch_size": 8, "max_steps": 3},
    evaluation={"max_new_tokens": 2, "max_examples": 2},
)


def test_tensorboard_gets_what_the_trainer_gets_and_the_load_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "EVERY_S", 0.05)
    with worker_run.job(tmp_path, SHORT) as trainer:
        how: dict[str, Any] = {"report_to": "tensorboard", "report_dir": tmp_path / "board"}
        assert worker_run.work(trainer, tmp_path / "scratch", **how) is Exit.DONE
        [run] = (tmp_path / "board").glob("*/*")
        assert run.relative_to(tmp_path / "board").parts == ("p", "job-1")
        read = EventAccumulator(str(run)).Reload()
        losses = {each.step: each.value for each in read.Scalars("loss")}
        assert losses == pytest.approx(trainer.losses())
        assert read.Scalars("eval_loss")[-1].step == 3
        load = [values for values in trainer.metrics.values() if "system_cpu_percent" in values]
        assert load
        assert load[-1]["system_memory_peak_bytes"] >= load[-1]["system_memory_bytes"] * 0.5
        # The rest of the way is told, publishing included.
        assert trainer.progress[-1].phase == "publishing"
        assert trainer.progress[-1].remaining.ToMilliseconds() > 0


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"report_to": "tensorboard"}, "TRACKER_WITHOUT_FOLDER"),
        ({"report_to": "mlflow"}, "TRACKER_MISSING"),
        ({"report_to": "excel"}, "TRACKER_UNKNOWN"),
    ],
)
def test_a_tracker_that_cannot_be_had_is_a_matter_of_the_environment(
    tmp_path: Path, how: dict[str, str], reason: str
) -> None:
    with pytest.raises(EnvironmentFault) as refused:
        mirrors.mirrors_of(claim(), settings(tmp_path, **how))
    assert refused.value.reason == reason


def test_the_worker_that_lacks_a_tracker_exits_78(tmp_path: Path) -> None:
    with worker_run.job(tmp_path, SHORT) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", report_to="wandb") is Exit.ENVIRONMENT
        [end] = trainer.finished
        assert (end.outcome, end.reason) == (worker_pb2.OUTCOME_FAILED, "TRACKER_MISSING")
        assert "VISIONTUNE_WORKER_REPORT_TO" in end.message


def claim() -> Claim:
    facts: Any = None
    return Claim("projects/p/trainingJobs/job", 2, SHORT, "sha256:0", Manifest("v", "d", [], facts))


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(
        trainer_target="t:1",
        attempt="projects/p/trainingJobs/job/attempts/2",
        token="secret",
        scratch_dir=folder,
        **more,
    )


class Package(ModuleType):
    """A double of a tracker's package, at the border where its server would be: it writes calls down."""

    def __init__(self, name: str, calls: list[tuple[str, Any]]) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.calls = calls
        self.config = SimpleNamespace(update=lambda values, **_: calls.append(("config", values)))
        self.utils = SimpleNamespace(
            validation=SimpleNamespace(MAX_PARAM_VAL_LENGTH=6_000, MAX_PARAMS_TAGS_PER_BATCH=100)
        )

    def init(self, **how: Any) -> Any:
        self.calls.append(("init", how))
        return SimpleNamespace(
            log=lambda values, step: self.calls.append(("log", (step, values))),
            finish=lambda: self.calls.append(("finish", None)),
        )

    def search_experiments(self, **_: Any) -> list[Any]:
        return []

    def create_experiment(self, **how: Any) -> str:
        self.calls.append(("experiment", how["name"]))
        return "7"

    def start_run(self, **how: Any) -> Any:
        self.calls.append(("init", how))
        return SimpleNamespace()

    def log_params(self, values: dict[str, Any]) -> None:
        self.calls.append(("config", values))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.calls.append(("log", (step, values)))

    def end_run(self) -> None:
        self.calls.append(("finish", None))


@pytest.mark.parametrize("name", ["mlflow", "trackio", "wandb"])
def test_other_trackers_get_a_run_of_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    calls: list[tuple[str, Any]] = []
    monkeypatch.setitem(sys.modules, name, Package(name, calls))
    mirror = mirrors.mirrors_of(claim(), settings(tmp_path, report_to=name))
    mirror.tell(1, {"loss": 2.0})
    mirror.tell(2, {"loss": 1.0})
    mirror.close()
    by_kind = [(kind, what) for kind, what in calls if kind != "experiment"]
    assert [kind for kind, _ in by_kind] == ["init", "config", "log", "log", "finish"]
    assert "job-2" in {by_kind[0][1].get("name"), by_kind[0][1].get("run_name")}
    assert by_kind[1][1]["training_job"] == "projects/p/trainingJobs/job"
    assert by_kind[1][1]["batch_size"] == 8
    assert by_kind[3][1] == (2, {"loss": 1.0})


def test_a_tracker_that_fails_is_left_alone_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    package = Package("wandb", calls)
    monkeypatch.setattr(package, "init", lambda **_: 1 / 0)
    monkeypatch.setitem(sys.modules, "wandb", package)
    mirror = mirrors.mirrors_of(claim(), settings(tmp_path, report_to="wandb"))
    mirror.tell(1, {"loss": 2.0})
    mirror.close()
    assert calls == []
