"""`visiontune train`: from a dataset version to a running job."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import adapting, estimating, evaluating, seeing, watching
from visiontune.cli.adapting import Method, Optimiser, Part, Precision
from visiontune.cli.evaluating import State
from visiontune.cli.failures import Failed
from visiontune.cli.session import Session, talks

if TYPE_CHECKING:
    from visiontune.client import Client
    from visiontune.trainer.v1 import augmentation_pb2, trainer_pb2


class Augmentation(StrEnum):
    """How far pictures are varied in training."""

    NONE = "none"
    LIGHT = "light"
    STANDARD = "standard"
    STRONG = "strong"


class Batching(StrEnum):
    """How the examples of a pass are laid side by side."""

    PADDED = "padded"
    LENGTH_GROUPED = "length-grouped"
    PACKED = "packed"


class OnBadExample(StrEnum):
    """What happens when an example turns out to be unusable."""

    FAIL = "fail"
    SKIP = "skip"


@talks
def train(
    session: Session,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", "-d", help="DATASET/VERSION, or DATASET for its newest version.", show_default=False
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="A preset or registered model of `visiontune models`, owner/name on the Hub, or a folder.",
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="The job as YAML; flags win over it.", exists=True, dir_okay=False),
    ] = None,
    job_id: Annotated[str, typer.Option("--name", help="Id of the job; chosen when empty.")] = "",
    method: Annotated[
        Method | None,
        typer.Option(help="Which weights change; when absent, full for presets and lora for others."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training split.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in one pass on one device.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate, above 0.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of LoRA.")] = None,
    vision_tower: Annotated[Part | None, typer.Option(help="What happens to the part that sees.")] = None,
    projector: Annotated[
        Part | None, typer.Option(help="What happens to the part between seeing and speaking.")
    ] = None,
    language_model: Annotated[Part | None, typer.Option(help="What happens to the part that speaks.")] = None,
    continue_adapter: Annotated[
        bool | None,
        typer.Option(
            "--continue-adapter",
            help="Train the adapter that --model names further, instead of merging it into its base.",
        ),
    ] = None,
    resume_from: Annotated[
        str,
        typer.Option(
            help="Go on from an earlier JOB, with its choices: more --epochs, or another --dataset.",
            metavar="JOB",
        ),
    ] = "",
    precision: Annotated[Precision | None, typer.Option(help="Number format of the passes.")] = None,
    optimiser: Annotated[
        Optimiser | None, typer.Option(help="What turns gradients into changes of the weights.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option(help="Compute activations twice rather than keep them: less memory.")
    ] = None,
    augmentation: Annotated[
        Augmentation | None,
        typer.Option(help="How far pictures are varied in training; a file can list transforms."),
    ] = None,
    batching: Annotated[
        Batching | None, typer.Option(help="How the examples of a pass are laid side by side.")
    ] = None,
    on_bad_example: Annotated[
        OnBadExample | None,
        typer.Option(help="Fail on an example that cannot be trained on, or name it, count it and go on."),
    ] = None,
    merged: Annotated[
        bool | None, typer.Option(help="Also publish a whole model with the adapter in its weights.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Report this measure of held-out examples; several may be given."),
    ] = None,
    best_metric: Annotated[
        str,
        typer.Option(help="The measure by which one evaluation is better than another; loss when absent."),
    ] = "",
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after so many evaluations in a row without progress, and publish the best."),
    ] = None,
    publish: Annotated[
        State | None, typer.Option(help="Which state becomes the result; best with --patience, else last.")
    ] = None,
    accelerator: Annotated[
        str,
        typer.Option(
            help="NAME or NAME:COUNT from the operator's list, for example nvidia-l4:1; COUNT is per node.",
            metavar="NAME[:COUNT]",
        ),
    ] = "",
    nodes: Annotated[int | None, typer.Option(help="Machines that train together.", min=1)] = None,
    spot: Annotated[
        bool | None, typer.Option(help="Run on machines that are cheaper and can be taken away.")
    ] = None,
    queue: Annotated[str, typer.Option(help="A queue from the operator's list.")] = "",
    priority: Annotated[str, typer.Option(help="A priority from the operator's list.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the job and show every choice; start nothing.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show examples as the model would get them; start nothing.")
    ] = False,
    preview_count: Annotated[
        int | None, typer.Option(help="How many of them; 4 when absent.", min=1, max=16)
    ] = None,
    preview_row: Annotated[
        list[int] | None,
        typer.Option(help="Row of an example to show; repeat it for more. Else what training sees first."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Watch until the job ends. Ctrl-C leaves it running.")] = True,
) -> None:
    """Train a model on a dataset version.

    What is not given is chosen by the service and recorded with the job.
    """
    given = {
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    request = _from_file(file)
    spec = request.training_job.spec
    if resume_from:
        adapting.resume(session.client, spec, resume_from, is_from_file=file is not None)
    _apply(spec.hyperparameters, given)
    parts = {"vision_tower": vision_tower, "projector": projector, "language_model": language_model}
    adapting.adapt(spec.adaptation, method, rank, parts, continue_adapter)
    adapting.optimise(spec.hyperparameters, precision, optimiser, gradient_checkpointing)
    if augmentation is not None:
        spec.augmentation.CopyFrom(policy(augmentation))
    _load(spec, batching, on_bad_example)
    if merged is not None:
        spec.publish.merged = merged
    evaluating.evaluate(spec, metric or (), best_metric, patience, publish)
    _place(spec.resources, accelerator, nodes, spot, queue, priority)
    if job_id:
        request.training_job_id = job_id
    choose_data(session.client, spec, dataset)
    choose_model(session.client, spec, model)
    if preview:
        seeing.preview(session, request.training_job, preview_row, preview_count)
        return
    if dry_run:
        check(session, request.training_job)
        return
    job = session.client.create_job(request.training_job, job_id=request.training_job_id)
    if not wait:
        session.resource(job) if session.is_json else session.say(
            f"Queued [bold]{names.short(job.name)}[/]. Watch it: visiontune job watch {names.short(job.name)}"
        )
        return
    watching.to_the_end(session, job)


def choose_data(client: "Client", spec: "trainer_pb2.TrainingJobSpec", dataset: str) -> None:
    """Fills the version in. Raises UsageError when neither flag nor file names one."""
    wanted = dataset or spec.dataset_version
    if not wanted:
        raise typer.BadParameter("name the data: --dataset DATASET/VERSION, or dataset_version in the file")
    spec.dataset_version = client.version_name(wanted)


def choose_model(client: "Client", spec: "trainer_pb2.TrainingJobSpec", model: str) -> None:
    """Fills the base model in. Raises UsageError when neither flag nor file names one."""
    if model:
        spec.base_model.CopyFrom(base_model(model, client))
    elif spec.base_model.model:
        spec.base_model.model = names.full(spec.base_model.model, client.project, "models")
    elif not spec.HasField("base_model"):
        raise typer.BadParameter("name the model: --model tiny-llava, or base_model in the file")


def base_model(text: str, client: "Client") -> "trainer_pb2.BaseModel":
    """What `--model` means; a bare name is looked up among presets and the project's models."""
    from visiontune.trainer.v1 import trainer_pb2

    if text.startswith("projects/"):
        return trainer_pb2.BaseModel(model=text)
    if text.startswith(("/", ".", "~")):
        return trainer_pb2.BaseModel(path=str(Path(text).expanduser().resolve()))
    if text.startswith("presets/"):
        return trainer_pb2.BaseModel(preset=text.removeprefix("presets/"))
    if "/" in text:
        repo_id, _, revision = text.partition("@")
        return trainer_pb2.BaseModel(hub=trainer_pb2.HubModel(repo_id=repo_id, revision=revision))
    known = [found.name for found in client.list_models()]
    if f"presets/{text}" in known:
        return trainer_pb2.BaseModel(preset=text)
    full = names.full(text, client.project, "models")
    if full in known:
        return trainer_pb2.BaseModel(model=full)
    if any(family.unavailable_reason for family in client.list_model_families()):
        # It may be one that is switched off, and so not listed: the server says.
        return trainer_pb2.BaseModel(preset=text)
    raise Failed(
        f'There is no model "{text}". Known: {", ".join(map(names.short, known)) or "none"}.',
        "For the Hugging Face Hub write owner/name; for a folder ./folder.",
    )


def policy(augmentation: Augmentation) -> "augmentation_pb2.Augmentation":
    """What `--augmentation` means."""
    from visiontune.trainer.v1 import augmentation_pb2

    preset = augmentation_pb2.Augmentation.Preset.Value(f"PRESET_{augmentation.name}")
    return augmentation_pb2.Augmentation(preset=preset)


def check(session: Session, job: "trainer_pb2.TrainingJob") -> None:
    """Prints the resolved job, or its problems and fails."""
    answer = session.client.validate_job(job)
    if session.is_json:
        session.resource(answer)
    elif not answer.problems:
        session.say(f"The job is fine: {answer.total_steps:,} steps. Every choice made:")
        session.resource(answer.resolved_spec)
        estimating.show_choices(session, answer.choices)
    if not session.is_json and answer.HasField("estimate"):
        there = "an accelerator" if answer.resolved_spec.resources.accelerator_count else "processors"
        estimating.show(session, answer.estimate, there)
    for warning in answer.warnings:
        session.err.print(f"[yellow]Warning[/] {_line(warning)}", soft_wrap=True)
    if answer.problems:
        for problem in answer.problems:
            session.err.print(f"  {_line(problem)}", soft_wrap=True)
        raise Failed(f"The job has {len(answer.problems)} problem(s).")


def _line(problem: "trainer_pb2.ValidateTrainingJobResponse.JobProblem") -> str:
    return escape(f"{problem.field}: {problem.message} {problem.remedy}")


def _from_file(file: Path | None) -> "trainer_pb2.CreateTrainingJobRequest":
    from visiontune.trainer.v1 import trainer_pb2

    if file is None:
        return trainer_pb2.CreateTrainingJobRequest()
    from visiontune.cli import jobfile

    return jobfile.load(file)


def _apply(numbers: "trainer_pb2.Hyperparameters", given: dict[str, Any]) -> None:
    """Flags win over the file."""
    for name, value in given.items():
        if value is not None:
            setattr(numbers, name, value)


def _load(
    spec: "trainer_pb2.TrainingJobSpec", batching: Batching | None, on_bad_example: OnBadExample | None
) -> None:
    """Flags win over the file."""
    from visiontune.trainer.v1 import trainer_pb2

    if batching is not None:
        spec.loading.batching = trainer_pb2.Loading.Batching.Value(f"BATCHING_{batching.name}")
    if on_bad_example is not None:
        value = trainer_pb2.Loading.OnBadExample.Value(f"ON_BAD_EXAMPLE_{on_bad_example.name}")
        spec.loading.on_bad_example = value


def _place(
    resources: "trainer_pb2.Resources",
    accelerator: str,
    nodes: int | None,
    spot: bool | None,
    queue: str,
    priority: str,
) -> None:
    """Flags win over the file."""
    from visiontune.trainer.v1 import trainer_pb2

    if accelerator:
        name, _, count = accelerator.partition(":")
        if not name or not (count or "1").isdecimal():
            raise typer.BadParameter(f"--accelerator {accelerator}: write NAME or NAME:COUNT")
        resources.accelerator, resources.accelerator_count = name, int(count or 1)
    if nodes is not None:
        resources.nodes = nodes
    if spot is not None:
        resources.spot = trainer_pb2.Resources.SPOT_ONLY if spot else trainer_pb2.Resources.SPOT_NEVER
    if queue:
        resources.queue = queue
    if priority:
        resources.priority = priority
