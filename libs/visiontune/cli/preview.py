"""`visiontune dataset preview`: what training sees of a few pictures, as files and a page that shows them."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune.cli.failures import Failed
from visiontune.cli.progress import step
from visiontune.cli.session import Session, talks
from visiontune.cli.train import Augmentation, policy

if TYPE_CHECKING:
    from visiontune.dataset.v1 import dataset_pb2
    from visiontune.trainer.v1 import augmentation_pb2

SHEET = "contact-sheet.html"


@talks
def preview(
    session: Session,
    name: Annotated[str, typer.Argument(help="DATASET, DATASET/VERSION or a full name.", metavar="DATASET")],
    output_dir: Annotated[
        Path, typer.Option(help="Where the pictures go; made when it does not exist.", file_okay=False)
    ],
    augmentation: Annotated[Augmentation | None, typer.Option(help="How far pictures are varied.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="A job file whose policy to show instead.", exists=True, dir_okay=False
        ),
    ] = None,
    row: Annotated[
        list[int] | None,
        typer.Option(help="Row of an example to show; repeat it for more. The first ones when absent."),
    ] = None,
    count: Annotated[int, typer.Option(help="Augmented pictures in all.", min=1, max=16)] = 8,
    seed: Annotated[int | None, typer.Option(help="Seed of the job; 42 when absent.")] = None,
    model: Annotated[
        str, typer.Option(help="A preset, to see the pictures as small as its model does.")
    ] = "",
    side_px: Annotated[int, typer.Option(help="Longest side of the pictures.", min=64, max=1024)] = 512,
) -> None:
    """Show what training would see of a few pictures under a policy of augmentation.

    A job with the same policy and seed sees the very same pictures of these rows in its first epochs.
    """
    asked = _policy(augmentation, file)
    with step(session.err, "Augmenting"):
        found = session.client.preview_augmentation(
            name,
            asked,
            rows=row or (),
            count=count,
            seed=seed,
            model_preset=model.removeprefix("presets/"),
            side_px=side_px,
        )
    files = _write(output_dir, found)
    if session.is_json:
        session.raw({"files": list(map(str, files)), "warnings": list(found.warnings)})
        return
    for warning in found.warnings:
        session.err.print(f"[yellow]Warning[/] {escape(warning)}", soft_wrap=True)
    session.say(f"{len(files) - 1} pictures. Look at them: {escape(str(output_dir / SHEET))}")


def _policy(augmentation: Augmentation | None, file: Path | None) -> "augmentation_pb2.Augmentation":
    if (augmentation is None) == (file is None):
        raise typer.BadParameter("name the policy: either --augmentation PRESET or --file JOB.yaml")
    if augmentation is not None:
        return policy(augmentation)
    from visiontune.cli import jobfile

    assert file is not None  # noqa: S101 - one of the two is given
    return jobfile.load(file).training_job.spec.augmentation


def _write(folder: Path, found: "dataset_pb2.PreviewAugmentationResponse") -> list[Path]:
    """The files, the page first. Raises Failed when the disk refuses."""
    pictures = {name: data for example in found.examples for name, data in _pictures(example)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in pictures.items():
            (folder / name).write_bytes(data)
        (folder / SHEET).write_text(sheet(found), "utf-8")
    except OSError as error:
        raise Failed(f"{folder} cannot be written: {error.strerror}.") from error
    return [folder / SHEET, *(folder / name for name in pictures)]


def _pictures(example: "dataset_pb2.AugmentedExample") -> Iterator[tuple[str, bytes]]:
    """File names with their bytes, the picture as it is first."""
    row = f"{int(example.example.rpartition('/')[2]):06d}"
    yield f"{row}-original.jpg", example.original
    for epoch, data in enumerate(example.augmented):
        yield f"{row}-epoch-{epoch}.jpg", data


def sheet(found: "dataset_pb2.PreviewAugmentationResponse") -> str:
    """A page that shows the files beside it, one line an example."""
    lines = []
    for example in found.examples:
        shown = "".join(
            f'<figure><img src="{name}" width="{example.width_px}" height="{example.height_px}">'
            f"<figcaption>{name}</figcaption></figure>"
            for name, _ in _pictures(example)
        )
        lines.append(f"<h2>{html.escape(example.example)}</h2><div>{shown}</div>")
    notes = "".join(f"<p>{html.escape(warning)}</p>" for warning in found.warnings)
    style = "body{font:14px sans-serif}div{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Augmentation</title>'
        f"<style>{style}img{{max-width:256px;height:auto}}</style>{notes}{''.join(lines)}</html>\n"
    )
