"""`visiontune dataset export`: a version as an archive on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visiontune import names
from visiontune.cli.dataset import Target
from visiontune.cli.failures import Failed
from visiontune.cli.progress import size, step
from visiontune.cli.session import Session, talks
from visiontune.cli.sharding import NUMBER, cut

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from visiontune.dataset.v1 import dataset_pb2

_USUAL = {"webdataset": "tar"}  # as its readers expect it
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
        typer.Option(
            help="A .tar.gz, .tar or .zip; named after the version when absent. With %06d in the name, "
            "a .tar of webdataset is cut into several of about 1 GB.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Write a version as an archive, and download it; of a dataset, the newest one.

    Imported again it has the same digest.
    """
    archive = _archive(output_file) if output_file else _USUAL.get(format_, "tar.gz")
    numbered = NUMBER in output_file.name if output_file else False
    if numbered and (format_, archive) != ("webdataset", "tar"):
        raise Failed(
            "Only webdataset is several files.", f"Leave {NUMBER} out, or export webdataset to a .tar."
        )
    found = _written(session, session.client.export_version(name, format_, archive))
    target = output_file or Path(found.filename)
    whole = target.with_name(found.filename) if numbered else target
    _download(session, found, whole)
    files = f"{target}" if not numbered else _cut(whole, target)
    if session.is_json:
        session.resource(found)
    else:
        session.say(
            f"Exported {names.short(found.version)} as {found.format}: {files}, {size(found.size_bytes)}, "
            f"{found.example_count:,} examples."
        )


def _cut(whole: Path, pattern: Path) -> str:
    """Makes several tars of the one; returns what to call them all."""
    try:
        written = cut(whole, pattern)
    except OSError as error:
        raise Failed(f"{pattern} cannot be written: {error.strerror}.") from error
    whole.unlink()
    return str(pattern).replace(NUMBER, f"{{000000..{len(written) - 1:06d}}}")


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
