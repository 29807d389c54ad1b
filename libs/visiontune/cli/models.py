"""`visiontune models`: what a job can start from."""

from typing import Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import views
from visiontune.cli.session import (
    ApiKeyOption,
    Output,
    OutputOption,
    ProjectOption,
    ServerOption,
    Session,
    talks,
)

app = typer.Typer(help="List the models that a job can start from; register results as models.")


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
        show(Session(server, api_key, project, output))


@app.command("list")
@talks
def list_(session: Session) -> None:
    """List presets, then the project's models, newest first."""
    show(session)


@app.command("register")
@talks
def register(
    session: Session,
    model_id: Annotated[str, typer.Argument(help="Id of the new model.", metavar="ID")],
    job: Annotated[str, typer.Option("--job", help="Job that SUCCEEDED.")],
    description: Annotated[str, typer.Option(help="What it is, in a sentence.")] = "",
) -> None:
    """Give the result of a job a name from which later jobs can start."""
    model = session.client.register_model(model_id, job, description=description)
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


def show(session: Session) -> None:
    """Prints every model."""
    found = list(session.client.list_models())
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["MODEL", "FAMILY", "PARAMETERS", "TRAINED FROM", "WHAT IT IS"],
        (
            [
                names.short(model.name),
                model.family,
                f"{model.parameter_count:,}" if model.parameter_count else "-",
                escape(views.base_model(model.base_model)) if model.is_adapter else "-",
                escape(model.description or model.display_name),
            ]
            for model in found
        ),
        empty="No models. Register a result: visiontune models register ID --job JOB",
    )
