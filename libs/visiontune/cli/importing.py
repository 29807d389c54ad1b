"""An import, step by step, as several commands take them."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from visiontune import names
from visiontune.cli import views
from visiontune.cli.failures import Failed
from visiontune.cli.progress import size, step
from visiontune.cli.session import Session
from visiontune.errors import AlreadyExists, ApiFailure, InvalidArgument, NotFound

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from visiontune.dataset.v1 import dataset_pb2
    from visiontune.storage.v1 import storage_pb2


class OnError(StrEnum):
    """What becomes of records that break a rule."""

    FAIL = "fail"
    SKIP = "skip"


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


def send_all(session: Session, paths: Sequence[Path], resume: Sequence[str] = ()) -> list[str]:
    """Uploads files and returns the uploads' names; those of `resume` go on, whichever file is theirs.

    Raises Failed for an upload of another file, and as `send` does.
    """
    digests = [_digest(session, path) for path in paths]
    broken_off = {found.sha256: found.name for found in map(session.client.get_upload, resume)}
    if strange := [name for sha256, name in broken_off.items() if sha256 not in digests]:
        of = f"{paths[0]} is not" if len(paths) == 1 else "None of these is"
        raise Failed(f"{of} the file of {strange[0]}.", "Give the same file, or leave --resume out.")
    sent = (send(session, path, at, broken_off.get(at, "")) for path, at in zip(paths, digests, strict=True))
    return [upload.name for upload in sent]


def _digest(session: Session, path: Path) -> str:
    """The file's sha256, with a bar. Raises Failed for an empty or unreadable one."""
    from visiontune import uploads

    try:
        if path.stat().st_size == 0:
            raise Failed(
                f"{path} is empty.", "Give a .tar.gz, .tar or .zip archive with images and a metadata file."
            )
        with step(session.err, f"Reading {path.name}") as progress:
            return uploads.sha256_of(path, progress)
    except OSError as error:
        raise _unreadable(path, error) from error


def send(session: Session, path: Path, sha256: str = "", resume: str = "") -> "storage_pb2.Upload":
    """Uploads a file, with a bar. Raises Failed for an empty or unreadable one."""
    sha256 = sha256 or _digest(session, path)

    def say_name(upload: "storage_pb2.Upload") -> None:
        if len(upload.part_urls) > 1:  # of one part nothing is there before all of it is
            session.err.print(
                f"[dim]If this is interrupted, go on with: --resume {upload.name}[/]", soft_wrap=True
            )

    try:
        with step(session.err, f"Uploading {size(path.stat().st_size)}") as progress:
            return session.client.upload(
                path, sha256=sha256, resume=resume, progress=progress, begun=say_name
            )
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> Failed:
    return Failed(f"{path} cannot be read: {error.strerror}.")


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
