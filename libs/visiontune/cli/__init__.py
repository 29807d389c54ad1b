"""The command `visiontune`: one module a noun."""

import sys

import typer

from visiontune.cli import (
    accelerators,
    basing,
    dataset,
    deleting,
    demo,
    editing,
    examples,
    exporting,
    job,
    models,
    preview,
    publishing,
    stack,
    storage,
    train,
)
from visiontune.cli.failures import EXPECTED, explain
from visiontune.cli.session import Session

app = typer.Typer(
    name="visiontune",
    help="Fine-tune vision-language models: upload images with text, train, download an adapter.\n\n"
    "First steps: [bold]visiontune demo[/] runs everything once; [bold]visiontune up --detach[/] starts "
    "the programs on this machine; then [bold]dataset import[/], [bold]train[/], [bold]job artifacts[/].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
WORK = "Work"
MACHINE = "This machine"
dataset.app.command("preview")(preview.preview)
app.add_typer(dataset.app, name="dataset", rich_help_panel=WORK)
examples.add_to(dataset.app)
basing.add_to(dataset.app)
deleting.add_to(dataset.app)
editing.add_to(dataset.app)
exporting.add_to(dataset.app)
publishing.add_to(models.app)
app.command("train", rich_help_panel=WORK)(train.train)
app.add_typer(job.app, name="job", rich_help_panel=WORK)
app.add_typer(models.app, name="models", rich_help_panel=WORK)
app.add_typer(storage.app, name="storage", rich_help_panel=WORK)
app.command("accelerators", rich_help_panel=WORK)(accelerators.accelerators)
app.command("demo", rich_help_panel=MACHINE)(demo.demo)
app.command("up", rich_help_panel=MACHINE)(stack.up)
app.command("down", rich_help_panel=MACHINE)(stack.down)
app.command("status", rich_help_panel=MACHINE)(stack.status)
app.command("config", rich_help_panel=MACHINE)(stack.config)


def main() -> None:
    """Exit code 0: done; 1: failed; 2: wrong use."""
    try:
        app()
    except EXPECTED as error:
        explain(error, Session().err)
        sys.exit(1)
