"""What `visiontune train` asks the API for, seen by a scripted gateway (a double at a process border)."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from visiontune.cli import app

from tests.support.scripted_http import Answer, Seen, as_json, scripted

MODELS = {"models": [{"name": "presets/tiny-llava"}, {"name": "projects/p/models/mine"}]}
DATASET = {"name": "projects/p/datasets/d", "latestVersion": "projects/p/datasets/d/versions/v3"}
JOB = {"name": "projects/p/trainingJobs/j", "state": "STATE_QUEUED"}


EARLIER = {
    "name": "projects/p/trainingJobs/earlier",
    "resolvedSpec": {
        "datasetVersion": "projects/p/datasets/d/versions/v1",
        "baseModel": {"preset": "tiny-llava"},
        "hyperparameters": {"epochs": 3, "seed": "7"},
        "resumeFrom": {"checkpoint": "projects/p/trainingJobs/first", "step": "3"},
    },
}


def gateway(seen: Seen) -> Answer:
    if seen.path == "/v1/projects/p/trainingJobs/earlier":
        return as_json(EARLIER)
    if seen.path.startswith("/v1/projects/p/models"):
        return as_json(MODELS)
    if seen.path == "/v1/projects/p/datasets/d":
        return as_json(DATASET)
    if seen.path.endswith(":validate"):
        problem = {"field": "spec.x", "message": "It is wrong.", "remedy": "Mend it."}
        return as_json({"problems": [problem], "totalSteps": "3"})
    return as_json(JOB)


def train(*arguments: str) -> tuple[Any, str]:
    """Body and path of the CreateTrainingJob that the command sent."""
    with scripted(gateway) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p", "--no-wait")
        result = CliRunner().invoke(app, ["train", *arguments, *connection], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return server.seen[-1].json, server.seen[-1].path


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("tiny-llava", {"preset": "tiny-llava"}),
        ("presets/other", {"preset": "other"}),
        ("mine", {"model": "projects/p/models/mine"}),
        ("projects/p/models/x", {"model": "projects/p/models/x"}),
        ("llava-hf/llava-1.5-7b-hf", {"hub": {"repo_id": "llava-hf/llava-1.5-7b-hf"}}),
        ("a/b@v2", {"hub": {"repo_id": "a/b", "revision": "v2"}}),
        ("/models/here", {"path": "/models/here"}),
    ],
)
def test_a_model_is_what_its_name_looks_like(model: str, base: object) -> None:
    body, _ = train("--dataset", "d/v1", "--model", model)
    assert body["spec"]["base_model"] == base


@pytest.mark.parametrize(("reason", "code"), [("Vision training is switched off here.", 0), ("", 1)])
def test_the_server_says_why_a_model_that_is_switched_off_cannot_be_trained(reason: str, code: int) -> None:
    def script(seen: Seen) -> Answer:
        families = [{"name": "llava", "unavailableReason": reason}]
        return as_json({"families": families}) if "odelFamilies" in seen.path else gateway(seen)

    with scripted(script) as server:
        asked = ["train", "--dataset", "d/v1", "--model", "tiny-qwen2-vl", "--no-wait"]
        result = CliRunner().invoke(app, [*asked, "--server", server.url, "--api-key", "k", "--project", "p"])
    assert result.exit_code == code
    if reason:
        assert server.seen[-1].json["spec"]["base_model"] == {"preset": "tiny-qwen2-vl"}
    else:
        assert 'There is no model "tiny-qwen2-vl"' in str(result.exception)


def test_a_dataset_alone_means_its_newest_version() -> None:
    body, _ = train("--dataset", "d", "--model", "tiny-llava")
    assert body["spec"]["dataset_version"] == "projects/p/datasets/d/versions/v3"


def test_only_what_was_given_is_asked_for() -> None:
    body, _ = train("--dataset", "d/v1", "--model", "tiny-llava")
    assert set(body["spec"]) == {"dataset_version", "base_model"}


def test_how_examples_reach_the_model_is_told_by_flags() -> None:
    flags = ("--batching", "length-grouped", "--on-bad-example", "skip")
    body, _ = train("--dataset", "d/v1", "--model", "tiny-llava", *flags)
    assert body["spec"]["loading"] == {
        "batching": "BATCHING_LENGTH_GROUPED",
        "on_bad_example": "ON_BAD_EXAMPLE_SKIP",
    }


def test_a_whole_model_beside_the_adapter_is_asked_for_by_a_flag() -> None:
    body, _ = train("--dataset", "d/v1", "--model", "mine", "--merged")
    assert body["spec"]["publish"] == {"merged": True}


def test_how_the_model_is_measured_is_told_by_flags() -> None:
    flags = ("--metric", "rouge_l", "--metric", "vqa_accuracy", "--best-metric", "rouge_l", "--patience", "2")
    body, _ = train("--dataset", "d/v1", "--model", "tiny-llava", *flags, "--publish", "last")
    assert body["spec"]["evaluation"] == {
        "metrics": ["rouge_l", "vqa_accuracy"],
        "best_metric": "rouge_l",
        "early_stopping": {"patience": 2},
    }
    assert body["spec"]["publish"] == {"state": "STATE_LAST"}


def test_flags_win_over_the_file_and_short_names_become_full(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "training_job_id: from-file\nspec:\n  dataset_version: d\n  base_model: {model: mine}\n"
        "  hyperparameters: {epochs: 2, seed: 1}\n"
    )
    body, sent_to = train(
        "--file", str(path), "--epochs", "3", "--method", "lora", "--rank", "4", "--name", "job-1"
    )
    assert body["spec"] == {
        "dataset_version": "projects/p/datasets/d/versions/v3",
        "base_model": {"model": "projects/p/models/mine"},
        "adaptation": {"method": "METHOD_LORA", "lora": {"rank": 4}},
        "hyperparameters": {"epochs": 3.0, "seed": "1"},
    }
    assert "training_job_id=job-1" in sent_to


def test_parts_precision_and_optimiser_are_asked_for_by_name() -> None:
    body, _ = train(
        *("--dataset", "d/v1", "--model", "mine", "--method", "qlora", "--vision-tower", "lora"),
        *("--projector", "full", "--language-model", "freeze", "--precision", "fp16"),
        *("--optimiser", "adamw_8bit", "--gradient-checkpointing"),
    )
    assert body["spec"]["adaptation"] == {
        "method": "METHOD_QLORA",
        "vision_tower": "PART_LORA",
        "projector": "PART_FULL",
        "language_model": "PART_FREEZE",
    }
    assert body["spec"]["hyperparameters"] == {
        "precision": "PRECISION_FP16",
        "optimiser": "OPTIMISER_ADAMW_8BIT",
        "gradient_checkpointing": True,
    }


@pytest.mark.parametrize(("method", "switch"), [("rslora", "use_rslora"), ("dora", "use_dora")])
def test_a_kind_of_lora_is_a_switch_of_it(method: str, switch: str) -> None:
    body, _ = train("--dataset", "d/v1", "--model", "mine", "--method", method)
    assert body["spec"]["adaptation"] == {"method": "METHOD_LORA", "lora": {switch: True}}


def test_an_adapter_is_trained_further_when_that_is_asked() -> None:
    body, _ = train("--dataset", "d/v1", "--model", "mine", "--continue-adapter")
    assert body["spec"]["adaptation"] == {"continue_adapter": True}


def test_going_on_from_a_job_takes_its_choices_and_flags_win() -> None:
    body, _ = train("--resume-from", "earlier", "--epochs", "9")
    assert body["spec"] == {
        "dataset_version": "projects/p/datasets/d/versions/v1",
        "base_model": {"preset": "tiny-llava"},
        "hyperparameters": {"epochs": 9.0, "seed": "7"},
        "resume_from": {"checkpoint": "projects/p/trainingJobs/earlier"},
    }


def test_going_on_from_a_job_by_a_file_takes_the_choices_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("spec: {dataset_version: d/v2, base_model: {preset: other}}\n")
    checkpoint = "projects/p/trainingJobs/earlier/checkpoints/step-4"
    body, _ = train("--file", str(path), "--resume-from", checkpoint)
    assert body["spec"] == {
        "dataset_version": "projects/p/datasets/d/versions/v2",
        "base_model": {"preset": "other"},
        "resume_from": {"checkpoint": checkpoint},
    }


def test_neither_data_nor_model_is_wrong_use() -> None:
    with scripted(gateway) as server:
        connection = ["--server", server.url, "--api-key", "k", "--project", "p"]
        assert CliRunner().invoke(app, ["train", *connection]).exit_code == 2
        assert CliRunner().invoke(app, ["train", "-d", "d", *connection]).exit_code == 2


def test_a_dry_run_lists_problems_fails_and_creates_nothing() -> None:
    with scripted(gateway) as server:
        connection = ["--server", server.url, "--api-key", "k", "--project", "p", "--dry-run"]
        result = CliRunner().invoke(app, ["train", "-d", "d/v1", "-m", "tiny-llava", *connection])
    assert result.exit_code == 1
    assert "spec.x: It is wrong. Mend it." in result.output
    assert all(not seen.path.endswith("/trainingJobs") for seen in server.seen)


def test_a_place_is_asked_for_in_one_line() -> None:
    place = ("--accelerator", "nvidia-l4:4", "--nodes", "2", "--spot", "--queue", "q", "--priority", "high")
    body, _ = train("--dataset", "d/v1", "--model", "tiny-llava", *place)
    assert body["spec"]["resources"] == {
        "accelerator": "nvidia-l4",
        "accelerator_count": 4,
        "nodes": 2,
        "spot": "SPOT_ONLY",
        "queue": "q",
        "priority": "high",
    }


def test_one_accelerator_is_meant_when_no_number_is_given() -> None:
    body, _ = train("--dataset", "d/v1", "--model", "tiny-llava", "--accelerator", "nvidia-l4")
    assert body["spec"]["resources"] == {"accelerator": "nvidia-l4", "accelerator_count": 1}


@pytest.mark.parametrize("wrong", [":1", "nvidia-l4:many", "nvidia-l4:-1"])
def test_an_accelerator_that_cannot_be_read_is_wrong_use(wrong: str) -> None:
    with scripted(gateway) as server:
        connection = ["--server", server.url, "--api-key", "k", "--project", "p"]
        command = ["train", "-d", "d/v1", "-m", "tiny-llava", "--accelerator", wrong, *connection]
        assert CliRunner().invoke(app, command).exit_code == 2


@pytest.mark.parametrize("preset", ["none", "light", "standard", "strong"])
def test_a_policy_is_named_by_its_preset(preset: str) -> None:
    body, _ = train("--dataset", "d/v1", "--model", "tiny-llava", "--augmentation", preset)
    assert body["spec"]["augmentation"] == {"preset": f"PRESET_{preset.upper()}"}


def test_a_dry_run_shows_what_is_hardly_meant() -> None:
    def warning(seen: Seen) -> Answer:
        if seen.path.endswith(":validate"):
            said = {"field": "spec.augmentation", "message": "There is no picture.", "remedy": "Remove it."}
            return as_json({"warnings": [said], "totalSteps": "3"})
        return gateway(seen)

    with scripted(warning) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p", "--dry-run")
        arguments = ("--dataset", "d/v1", "--model", "tiny-llava")
        result = CliRunner().invoke(app, ["train", *arguments, *connection], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Warning spec.augmentation: There is no picture. Remove it." in result.output


def test_a_dry_run_says_what_fits() -> None:
    fits = [
        {"accelerator": "a100", "neededBytes": str(30 * 2**30), "memoryBytes": str(80 * 2**30), "fits": True},
        {
            "accelerator": "l4",
            "neededBytes": str(30 * 2**30),
            "memoryBytes": str(24 * 2**30),
            "fits": False,
            "duration": "5400s",
            "measuredSamplesPerSecond": 4.5,
            "cost": 1.05,
            "changes": [{"field": "adaptation.method", "value": "METHOD_QLORA"}],
        },
    ]
    memory = {"peakBytes": str(9 * 2**30)}
    speed = {"duration": "7200s", "measuredSamplesPerSecond": 3.25}
    counts = {"totalParameters": "1000", "trainableParameters": "10"}
    estimate = {**counts, "memory": memory, "fits": fits, **speed}
    path = "training_job.spec.hyperparameters.batch_size"
    choice = {"field": path, "value": "2", "reason": "So that the job fits l4."}

    def told(seen: Seen) -> Answer:
        if seen.path.endswith(":validate"):
            return as_json({"totalSteps": "3", "estimate": estimate, "choices": [choice]})
        return gateway(seen)

    with scripted(told) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p", "--dry-run")
        command = ["train", "--dataset", "d/v1", "--model", "tiny-llava", *connection]
        wide = CliRunner(env={"COLUMNS": "200"})
        result = wide.invoke(app, command, catch_exceptions=False)
        estimate = {"unknownReason": "Nobody knows."}
        unknown = wide.invoke(app, command, catch_exceptions=False)
    assert "1,000, of which 10 train (1.0%)" in result.output
    assert "on processors: 9.00 GiB at its peak" in result.output
    for word in ("a100", "yes", "l4", "no", "1 h 30 min", "1.05", "METHOD_QLORA"):
        assert word in result.output
    assert "by 3.25 examples/s of an earlier job" in result.output
    assert "1 h 30 min, by 4.5 examples/s of an earlier job" in result.output
    told_why = next(line for line in result.output.splitlines() if line.startswith("hyperparameters.batch"))
    assert told_why.split(maxsplit=2)[1:] == ["2", "So that the job fits l4."]
    assert "No estimate: Nobody knows." in unknown.output
