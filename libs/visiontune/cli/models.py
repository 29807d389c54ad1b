"""`visiontune models`: what a job can start from."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import views
from visiontune.cli.progress import size
from visiontune.cli.session import (
    ApiKeyOption,
    Output,
    OutputOption,
    ProjectOption,
    ServerOption,
    Session,
    talks,
)

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2

app = typer.Typer(help="List the models that a job can start from; register results as models.")

ModelName = Annotated[str, typer.Argument(help="Id or full name.", metavar="MODEL")]


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    server: ServerOption = "",
    api_key: ApiKeyOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """List the models that a job can start from, or register a result as one."""
    if context.invoked_subcommand is None:
        print_models(Session(server, api_key, project, output))


@app.command("list")
@talks
def list_(
    session: Session,
    family: Annotated[str, typer.Option(help="Only of this family, for example llava.")] = "",
    dataset: Annotated[
        str, typer.Option(help="Only what learnt from it, also earlier.", metavar="DATASET[/VERSION]")
    ] = "",
    base: Annotated[
        str,
        typer.Option(
            help="Only what came from it, also earlier: a model, presets/NAME, owner/name or /folder.",
            metavar="MODEL",
        ),
    ] = "",
) -> None:
    """List presets, then the project's models, newest first."""
    project = session.client.project
    if dataset:
        is_version = "/" in dataset
        dataset = names.version(dataset, project) if is_version else names.full(dataset, project, "datasets")
    if base and "/" not in base:
        base = names.full(base, project, "models")
    print_models(session, family=family, dataset=dataset, base=base)


@app.command("show")
@talks
def show(session: Session, model: ModelName) -> None:
    """Show a registered model and all that it came from."""
    found = session.client.get_model(model)
    if session.is_json:
        session.resource(found)
        return
    kind = f"adapter on {views.base_model(found.base_model)}" if found.is_adapter else "whole model"
    rows = [
        ["model", names.short(found.name)],
        ["what it is", found.description],
        ["family", found.family],
        ["made of", f"{kind}, {size(found.size_bytes)}"],
        ["registered", views.when(found.create_time)],
    ]
    session.table(["", ""], ([f"[bold]{label}[/]", escape(value)] for label, value in rows), empty="")
    session.say("")
    session.table(
        ["CAME FROM JOB", "AS MODEL", "DATA", "STARTED FROM", "HELD-OUT"],
        (
            [
                link(each.training_job),
                link(each.model),
                f"{link(each.dataset_version)} {each.dataset_digest[:14]}".strip(),
                escape(views.base_model(each.base_model)) if each.HasField("base_model") else "not known",
                views.percent(views.accuracy(dict(each.metrics_after))),
            ]
            for each in found.lineage
        ),
        empty="",
    )


def link(found: "trainer_pb2.Generation.Link") -> str:
    """`digits`, or `digits (deleted)`; `-` when absent."""
    return escape(names.short(found.name)) + " (deleted)" * found.deleted if found.name else "-"


@app.command("delete")
@talks
def delete(session: Session, model: ModelName) -> None:
    """Delete a registered model. Its job, if it is still there, keeps its result."""
    session.client.delete_model(model)
    session.raw({}) if session.is_json else session.say(f"Deleted {escape(model)}.")


@app.command("register")
@talks
def register(
    session: Session,
    model_id: Annotated[str, typer.Argument(help="Id of the new model.", metavar="ID")],
    job: Annotated[str, typer.Option("--job", help="Job that SUCCEEDED.")],
    description: Annotated[str, typer.Option(help="What it is, in a sentence.")] = "",
    artifact: Annotated[
        str, typer.Option(help="`merged` for the whole model beside an adapter; what was trained when empty.")
    ] = "",
) -> None:
    """Give the result of a job a name from which later jobs can start."""
    model = session.client.register_model(model_id, job, description=description, artifact=artifact)
    if session.is_json:
        session.resource(model)
    else:
        short = names.short(model.name)
        session.say(
            f"Registered [bold]{short}[/]. Train on top: visiontune train --model {short} --dataset DATASET"
        )


@app.command("families")
@talks
def families(session: Session) -> None:
    """List the families of models that can be trained."""
    found = session.client.list_model_families()
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["FAMILY", "CLASS", "TAKES", "WHAT IT IS"],
        ([f.family, f.model_class, ", ".join(f.takes), escape(f.description)] for f in found),
        empty="None.",
    )
    for reason in sorted({f.unavailable_reason for f in found if f.unavailable_reason}):
        session.say(f"[yellow]{escape(reason)}[/]")


def print_models(session: Session, **wanted: str) -> None:
    """Prints the models that are wanted, with the kinds of examples that they take."""
    found = list(session.client.list_models(**wanted))
    if session.is_json:
        session.resources(found)
        return
    takes = {each.family: each.takes for each in session.client.list_model_families()} if found else {}
    session.table(
        ["MODEL", "FAMILY", "TAKES", "PARAMETERS", "TRAINED FROM", "WHAT IT IS"],
        (
            [
                names.short(model.name),
                model.family,
                ", ".join(takes.get(model.family, ())),
                f"{model.parameter_count:,}" if model.parameter_count else "-",
                escape(views.base_model(model.base_model)) if model.is_adapter else "-",
                escape(model.description or model.display_name),
            ]
            for model in found
        ),
        empty="No models. Register a result: visiontune models register ID --job JOB",
    )
