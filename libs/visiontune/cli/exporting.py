"""`visiontune dataset export`: a version as an archive on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visiontune import names
from visiontune.cli.dataset import Target
from visiontune.cli.failures import Failed
from visiontune.cli.progress import size, step
from visiontune.cli.session import Session, talks

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from visiontune.dataset.v1 import dataset_pb2

_ARCHIVES = {".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar": "tar", ".zip": "zip"}


def add_to(app: typer.Typer) -> None:
    """Adds the command to `visiontune dataset`."""
    app.command("export")(export)


@talks
def export(
    session: Session,
    name: Target,
    format_: Annotated[
        str,
        typer.Option(
            "--format", help="One of `visiontune dataset formats`, or webdataset; its own when absent."
        ),
    ] = "",
    output_file: Annotated[
        Path | None,
        typer.Option(help="A .tar.gz, .tar or .zip; named after the version when absent.", dir_okay=False),
    ] = None,
) -> None:
    """Write a version as an archive, and download it; of a dataset, the newest one.

    Imported again it has the same digest.
    """
    archive = _archive(output_file) if output_file else "tar.gz"
    found = _written(session, session.client.export_version(name, format_, archive))
    target = output_file or Path(found.filename)
    _download(session, found, target)
    if session.is_json:
        session.resource(found)
    else:
        session.say(
            f"Exported {names.short(found.version)} as {found.format}: {target}, {size(found.size_bytes)}, "
            f"{found.example_count:,} examples."
        )


def _archive(file: Path) -> str:
    """The kind of archive that the name says. Raises Failed."""
    for suffix, archive in _ARCHIVES.items():
        if file.name.lower().endswith(suffix):
            return archive
    raise Failed(f"{file} is none of {', '.join(_ARCHIVES)}.", "Name the file after the archive it shall be.")


def _written(session: Session, operation: "operations_pb2.Operation") -> "dataset_pb2.Export":
    from visiontune.dataset.v1 import dataset_pb2

    found, metadata = dataset_pb2.Export(), dataset_pb2.ExportVersionMetadata()

    def show_progress(current: "operations_pb2.Operation") -> None:
        current.metadata.Unpack(metadata)
        update(metadata.progress_percent, 100)

    with step(session.err, "Exporting") as update:
        session.client.wait(operation, progress=show_progress).response.Unpack(found)
    return found


def _download(session: Session, found: "dataset_pb2.Export", target: Path) -> None:
    """Downloads and verifies. Raises Failed when the disk refuses."""
    from visiontune import uploads
    from visiontune.trainer.v1 import trainer_pb2

    file = trainer_pb2.ArtifactFile(
        path=target.name, url=found.url, size_bytes=found.size_bytes, sha256=found.sha256
    )
    try:
        with step(session.err, f"Downloading {size(found.size_bytes)}") as progress:
            uploads.download([file], target.parent, progress)
    except OSError as error:
        raise Failed(f"{target} cannot be written: {error.strerror}.") from error
