"""`visiontune dataset`: archives in, versions out."""

import io
import zipfile
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import basing, importing, treatment, views
from visiontune.cli.failures import Failed
from visiontune.cli.importing import OnError
from visiontune.cli.progress import size, step
from visiontune.cli.session import Output, OutputOption, Session, talks

app = typer.Typer(help="Import archives as datasets and look at them.", no_args_is_help=True)

Target = Annotated[str, typer.Argument(help="DATASET, DATASET/VERSION or a full name.", metavar="DATASET")]

Deleted = Annotated[
    bool, typer.Option("--deleted", help="Instead those that are deleted and can be brought back.")
]


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
        list[str] | None,
        typer.Option(
            help="Go on with an upload of this file that broke off; of several, once for each.",
            metavar="UPLOAD",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the import to end.")] = True,
) -> None:
    """Upload files and import them together as one new version.

    Data equal to the newest version gives that version back.
    """
    base = basing.base(session, dataset, base_version, mode)
    importing.ensure(session, dataset)
    uploads = importing.send_all(session, path, resume or ())
    operation = importing.start_import(
        session, dataset, uploads, format_, on_error, validation_fraction, strip_metadata=strip_metadata,
        image_policy=treatment.policy(largest_side, image_format, image_quality), base=base,
    )  # fmt: skip
    if not wait:
        session.resource(operation) if session.is_json else session.say(
            f"Started. Wait for it: visiontune dataset wait {operation.name}"
        )
        return
    importing.finish_import(session, operation)


@app.command("wait")
@talks
def wait_(
    session: Session, operation: Annotated[str, typer.Argument(help="Full name of the operation.")]
) -> None:
    """Wait for an import that was started with --no-wait."""
    importing.finish_import(session, session.client.get_operation(operation))


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
        list[Path],
        typer.Argument(
            help="What would be imported together: archives, a file of records, a folder.",
            exists=True,
            readable=True,
            metavar="PATH...",
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
        with step(session.err, f"Checking {', '.join(each.name for each in path)}") as progress:
            outcome = offline.validate(path, format_, skip_errors=skip_errors, progress=progress)
    except OSError as error:
        raise Failed(f"{error.filename or path[0]} cannot be read: {error.strerror}.") from error
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
