"""`visiontune dataset`: archives in, versions out."""

import io
import zipfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import basing, treatment, views
from visiontune.cli.failures import Failed
from visiontune.cli.progress import size, step
from visiontune.cli.session import Output, OutputOption, Session, talks
from visiontune.errors import AlreadyExists, ApiFailure, InvalidArgument, NotFound

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from visiontune.dataset.v1 import dataset_pb2
    from visiontune.storage.v1 import storage_pb2

app = typer.Typer(help="Import archives as datasets and look at them.", no_args_is_help=True)

Target = Annotated[str, typer.Argument(help="DATASET, DATASET/VERSION or a full name.", metavar="DATASET")]

Deleted = Annotated[
    bool, typer.Option("--deleted", help="Instead those that are deleted and can be brought back.")
]


class OnError(StrEnum):
    """What becomes of records that break a rule."""

    FAIL = "fail"
    SKIP = "skip"


@app.command("import")
@talks
def import_(
    session: Session,
    path: Annotated[
        list[Path],
        typer.Argument(
            help="A .tar.gz, .tar or .zip archive; several; or a file of records, and archives of images.",
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="PATH...",
        ),
    ],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Its id; made when it does not exist.", metavar="ID")
    ],
    format_: Annotated[
        str, typer.Option("--format", help="auto, or one that `visiontune dataset formats` lists.")
    ] = "auto",
    on_error: Annotated[
        OnError, typer.Option(help="Whether a bad record fails the import or is left out and counted.")
    ] = OnError.FAIL,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=0.9, help="Share that is held out when the data names no splits; 0.1 when absent."
        ),
    ] = None,
    strip_metadata: treatment.StripMetadata = False,
    largest_side: treatment.LargestSide = 0,
    image_format: treatment.Format = None,
    image_quality: treatment.Quality = 0,
    base_version: basing.BaseVersion = "",
    mode: basing.ModeOption = None,
    resume: Annotated[
        str, typer.Option(help="Go on with an upload of this file that broke off.", metavar="UPLOAD")
    ] = "",
    wait: Annotated[bool, typer.Option(help="Wait for the import to end.")] = True,
) -> None:
    """Upload files and import them together as one new version.

    Data equal to the newest version gives that version back.
    """
    base = basing.base(session, dataset, base_version, mode)
    ensure(session, dataset)
    if resume and len(path) > 1:
        raise Failed("--resume goes on with the upload of one file.", "Give that file alone.")
    uploads = [send(session, each, resume).name for each in path]
    operation = start_import(
        session, dataset, uploads, format_, on_error, validation_fraction, strip_metadata=strip_metadata,
        image_policy=treatment.policy(largest_side, image_format, image_quality), base=base,
    )  # fmt: skip
    if not wait:
        session.resource(operation) if session.is_json else session.say(
            f"Started. Wait for it: visiontune dataset wait {operation.name}"
        )
        return
    finish_import(session, operation)


@app.command("wait")
@talks
def wait_(
    session: Session, operation: Annotated[str, typer.Argument(help="Full name of the operation.")]
) -> None:
    """Wait for an import that was started with --no-wait."""
    finish_import(session, session.client.get_operation(operation))


@app.command("list")
@talks
def list_(session: Session, deleted: Deleted = False) -> None:
    """List datasets, newest first."""
    found = list(session.client.list_datasets(deleted=deleted))
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["DATASET", "VERSIONS", "NEWEST", "CHANGED"],
        (
            [
                names.short(d.name),
                str(d.version_count),
                names.short(d.latest_version) if d.latest_version else "-",
                views.when(d.update_time),
            ]
            for d in found
        ),
        empty="No deleted datasets that can be brought back."
        if deleted
        else "No datasets yet. Make one: visiontune dataset import ARCHIVE --dataset ID",
    )


@app.command("show")
@talks
def show(session: Session, name: Target) -> None:
    """Show a version with its statistics; of a dataset, the newest one."""
    client = session.client
    version = client.get_version(name)
    if session.is_json:
        session.resource(version)
        return
    views.version(session, version, client.get_statistics(version.name))


@app.command("versions")
@talks
def versions(session: Session, name: Target, deleted: Deleted = False) -> None:
    """List a dataset's versions, newest first."""
    found = list(session.client.list_versions(name, deleted=deleted))
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["VERSION", "FORMAT", "EXAMPLES", "IMAGES", "SIZE", "CREATED"],
        (
            [
                names.short(v.name),
                v.format,
                f"{v.example_count:,}",
                f"{v.image_count:,}",
                size(v.size_bytes),
                views.when(v.create_time),
            ]
            for v in found
        ),
        empty="No deleted versions that can be brought back."
        if deleted
        else f"No versions yet. Import one: visiontune dataset import ARCHIVE --dataset {name}",
    )


@app.command("report")
@talks
def report(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(help="DATASET, DATASET/VERSION, or the full name of a report.", metavar="DATASET"),
    ],
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Every problem as a line of JSON; the first 100,000 are kept.")
    ] = False,
) -> None:
    """Show what an import found: every rule that was broken, with places and remedies.

    Of an import that runs, what it found so far.
    """
    client = session.client
    report_name = name if "/validationReports/" in name else client.get_version(name).validation_report
    if jsonl:
        for problem in client.list_problems(report_name):
            session.line(problem)
        return
    found = client.get_validation_report(report_name)
    session.resource(found) if session.is_json else views.report(session, found)


@app.command("validate")
def validate(
    path: Annotated[
        Path,
        typer.Argument(
            help="A .tar.gz, .tar or .zip archive, or a folder.", exists=True, readable=True, metavar="PATH"
        ),
    ],
    format_: Annotated[
        str, typer.Option("--format", help="auto, or one that `visiontune dataset formats` lists.")
    ] = "auto",
    on_error: Annotated[
        OnError, typer.Option(help="Whether a bad record would fail the import or be left out.")
    ] = OnError.FAIL,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check data as an import would, on this machine and without a server.

    Ends with 1 when the import would be refused.
    """
    try:
        from visiontune import reports
        from visiontune.cli import offline
    except ModuleNotFoundError as error:
        raise Failed(f"{error.name} is not installed.", 'Run: pip install "visiontune[data]"') from error
    session = Session(output=output)
    skip_errors = on_error is OnError.SKIP
    try:
        with step(session.err, f"Checking {path.name}") as progress:
            outcome = offline.validate(path, format_, skip_errors=skip_errors, progress=progress)
    except OSError as error:
        raise Failed(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    found = reports.report_to(outcome.report)
    session.resource(found) if session.is_json else views.report(session, found, outcome.version is not None)
    if outcome.version is None:
        raise typer.Exit(1)


@app.command("formats")
@talks
def formats(session: Session) -> None:
    """List the formats that archives may have, with one record of each."""
    found = session.client.list_formats()
    if session.is_json:
        session.resources(found)
        return
    for entry in found:
        session.out.print(f"[bold]{escape(entry.format)}[/]  {escape(entry.description)}")
        if entry.unavailable_reason:
            session.out.print(f"[yellow]{escape(entry.unavailable_reason)}[/]", soft_wrap=True)
        session.out.print(escape(entry.layout), style="dim")
        session.out.print(f"{escape(entry.example_record)}\n")


@app.command("template")
@talks
def template(
    session: Session,
    format_: Annotated[
        str, typer.Argument(help="A format of `visiontune dataset formats`.", metavar="FORMAT")
    ],
    output_dir: Annotated[Path, typer.Option(help="Folder to write it to; made when it does not exist.")],
) -> None:
    """Write a small dataset of a format to start from."""
    packed = zipfile.ZipFile(io.BytesIO(session.client.get_template(format_)))
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        if existing := next((name for name in packed.namelist() if (output_dir / name).exists()), ""):
            raise Failed(f"{output_dir / existing} exists.", "Choose another --output-dir.")
        packed.extractall(output_dir)
    except OSError as error:
        raise Failed(f"{output_dir} cannot be written: {error.strerror}.") from error
    if session.is_json:
        session.raw({"files": packed.namelist()})
    else:
        session.say(
            f"Wrote {len(packed.namelist())} files to {escape(str(output_dir))}; README.md explains them."
        )


def ensure(session: Session, dataset: str) -> None:
    """Makes the dataset unless it is there."""
    try:
        session.client.get_dataset(dataset)
    except NotFound:
        try:
            session.client.create_dataset(dataset)
        except AlreadyExists as taken:
            try:
                session.client.get_dataset(dataset)  # somebody was quicker, which is as good
            except NotFound:
                raise taken from None  # it is deleted: the message says until when


def send(session: Session, path: Path, resume: str = "") -> "storage_pb2.Upload":
    """Hashes and uploads a file, with a bar for each. Raises Failed for an empty or unreadable one."""
    from visiontune import uploads

    try:
        if path.stat().st_size == 0:
            raise Failed(
                f"{path} is empty.", "Give a .tar.gz, .tar or .zip archive with images and a metadata file."
            )
        with step(session.err, f"Reading {path.name}") as progress:
            sha256 = uploads.sha256_of(path, progress)
        with step(session.err, f"Uploading {size(path.stat().st_size)}") as progress:
            return session.client.upload(path, sha256=sha256, resume=resume, progress=progress)
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}.") from error


def start_import(
    session: Session,
    dataset: str,
    uploads: Sequence[str],
    format_: str = "auto",
    on_error: OnError = OnError.FAIL,
    validation_fraction: float | None = None,
    *,
    strip_metadata: bool = False,
    image_policy: "dataset_pb2.ImagePolicy | None" = None,
    base: "tuple[str, dataset_pb2.ImportMode.ValueType] | None" = None,
) -> "operations_pb2.Operation":
    """Starts the import of complete uploads."""
    from visiontune.dataset.v1 import dataset_pb2

    return session.client.import_version(
        dataset_pb2.ImportVersionRequest(
            parent=session.client.dataset_name(dataset),
            upload=uploads[0],
            uploads=uploads[1:],
            format=format_,
            on_error=dataset_pb2.OnError.Value(f"ON_ERROR_{on_error.name}"),
            validation_fraction=validation_fraction,
            strip_metadata=strip_metadata,
            image_policy=image_policy,
            base_version=base[0] if base else "",
            mode=base[1] if base else dataset_pb2.IMPORT_MODE_UNSPECIFIED,
        )
    )


def finish_import(session: Session, operation: "operations_pb2.Operation") -> "dataset_pb2.DatasetVersion":
    """Waits, prints the version, or the report of what was wrong and fails."""
    version, metadata = await_import(session, operation)
    if session.is_json:
        session.resource(version)
    else:
        session.say(views.imported(version, metadata))
        if metadata.format_reason:
            session.say(f"[dim]Detected {escape(metadata.format_reason)}.[/]")
        session.say(
            f"[dim]Next: visiontune train --dataset {names.short(version.name)} --model tiny-llava[/]"
        )
    return version


def await_import(
    session: Session, operation: "operations_pb2.Operation", label: str = "Importing"
) -> "tuple[dataset_pb2.DatasetVersion, dataset_pb2.ImportVersionMetadata]":
    """The version and how the import went. Raises Failed after printing the report to stderr."""
    from visiontune.dataset.v1 import dataset_pb2

    metadata = dataset_pb2.ImportVersionMetadata()

    told: set[str] = set()

    def show_progress(current: "operations_pb2.Operation") -> None:
        current.metadata.Unpack(metadata)
        update(metadata.progress_percent, 100)
        if metadata.validation_report and not current.done:
            _tell_new_rules(session, metadata.validation_report, told)

    try:
        with step(session.err, label) as update:
            done = session.client.wait(operation, progress=show_progress)
    except InvalidArgument as error:
        raise _refused(session, metadata.validation_report, error) from error
    version = dataset_pb2.DatasetVersion()
    done.response.Unpack(version)
    return version, metadata


def _tell_new_rules(session: Session, report_name: str, told: set[str]) -> None:
    """Prints the first place of each rule that a running import has found broken since it was last asked."""
    try:
        found = session.client.get_validation_report(report_name)
    except NotFound:  # the try that made it was given up
        return
    for rule in found.rules:
        if rule.rule not in told:
            told.add(rule.rule)
            session.err.print(f"[yellow]{rule.rule}[/] {escape(rule.problems[0].text)}", soft_wrap=True)


def _refused(session: Session, report_name: str, error: ApiFailure) -> Exception:
    """The failure of an import whose data breaks rules, with the report's places shown."""
    if not report_name:
        return error
    found = session.client.get_validation_report(report_name)
    views.problems(session.err, found)
    return Failed(
        f"{found.filename} was not imported: errors {found.error_count:,}, warnings {found.warning_count:,}.",
        f"All of it: visiontune dataset report {report_name}",
        error.reason,
    )
