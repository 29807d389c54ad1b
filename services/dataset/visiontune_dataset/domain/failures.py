"""Every way in which a dataset call can fail; the class name is the reason that programs see."""

from visiontune_data.formats import FORMATS
from visiontune_data.report import Report
from visiontune_kit import errors
from visiontune_kit.errors import Violation

_MOST_VIOLATIONS = 20


class DatasetNotFound(errors.NotFound):
    """No such dataset in this project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist.", resource=name)


class VersionNotFound(errors.NotFound):
    """No such version of the dataset."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist.", resource=name)


class ExampleNotFound(errors.NotFound):
    """The version has no row of that number, or the example no such image."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} does not exist: {detail}.", resource=name)


class ReportNotFound(errors.NotFound):
    """No import of that name has ended."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist. A report exists once its import has ended.", resource=name)


class DatasetExists(errors.AlreadyExists):
    """The id is taken."""

    def __init__(self, name: str, *, deleting: bool) -> None:
        advice = "It is being deleted; try again in a minute" if deleting else "Choose another id"
        super().__init__(f"{name} exists already. {advice}.", resource=name)


class TooManyDatasets(errors.ResourceExhausted):
    """The project has as many datasets as it may."""

    def __init__(self, project: str, limit: int) -> None:
        super().__init__(
            f"The project has {limit:,} datasets, as many as it may. "
            "Delete one, or ask an operator for more.",
            resource=f"projects/{project}",
            metadata={"limit": str(limit)},
        )


class StaleEtag(errors.Aborted):
    """Somebody else changed it first."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed meanwhile. Read it again and repeat the change.", resource=name)


class UnknownMaskPath(errors.InvalidArgument):
    """The update mask names a field that cannot be changed."""

    def __init__(self, path: str) -> None:
        text = f'"{path}" cannot be changed; use display_name, description or *'
        super().__init__(
            f"update_mask: {text}.", violations=[Violation("update_mask", text, "UnknownMaskPath")]
        )


class DatasetNotEmpty(errors.FailedPrecondition):
    """It has versions, and nobody said that they may go."""

    def __init__(self, name: str, versions: int) -> None:
        super().__init__(f"{name} has {versions:,} versions. Set force to delete them too.", resource=name)


class ImportRunning(errors.FailedPrecondition):
    """An import works on it."""

    def __init__(self, name: str, operation: str) -> None:
        super().__init__(f"{operation} is still at work on {name}. Wait for it or cancel it.", resource=name)


class UploadNotComplete(errors.FailedPrecondition):
    """The archive has not arrived, or is gone."""

    def __init__(self, upload: str, state: str) -> None:
        super().__init__(
            f"{upload} is {state}; only a complete upload can be imported. Complete it, or upload again.",
            resource=upload,
        )


class UploadTaken(errors.FailedPrecondition):
    """Another import has the upload: one with other options, or one that ended without a version."""

    def __init__(self, upload: str, operation: str, *, in_vain: bool) -> None:
        how = "ended without a version" if in_vain else "imports it with other options"
        super().__init__(
            f"{upload} is taken: {operation} {how}, and an import deletes its archive when it ends. "
            "Upload the archive again to import it anew.",
            resource=upload,
            metadata={"operation": operation},
        )


class UnknownFormat(errors.InvalidArgument):
    """No format of that name."""

    def __init__(self, name: str) -> None:
        text = f'"{name}" is not a format; use {", ".join(FORMATS)} or auto'
        super().__init__(f"format: {text}.", violations=[Violation("format", text, "UnknownFormat")])


class VisionTrainingDisabled(errors.FailedPrecondition):
    """The operator switched vision training off."""

    def __init__(self, format_name: str) -> None:
        super().__init__(
            f'The format "{format_name}" has images, and vision training is switched off here. '
            "Ask the operator to set ENABLE_VISION_TRAINING=true."
        )


class FilterInvalid(errors.InvalidArgument):
    """A filter of examples cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"filter: {reason}.", violations=[Violation("filter", reason, "FilterInvalid")])


class ImportRefused(errors.InvalidArgument):
    """The data has problems; the report lists them all."""

    def __init__(self, report: Report, report_name: str) -> None:
        problems = report.errors[:_MOST_VIOLATIONS]
        first = problems[0].text(report.archive)
        more = (
            f" ({report.error_count - 1:,} more in the validation report)" if report.error_count > 1 else ""
        )
        super().__init__(
            f"{first}{more}",
            violations=[
                Violation(
                    _field(p.place.member, p.place.line, p.place.json_path), p.text(report.archive), p.rule
                )
                for p in problems
            ],
            resource=report_name,
            metadata={"validation_report": report_name, "error_count": str(report.error_count)},
        )


def _field(member: str, line: int, json_path: str) -> str:
    """Where, without the archive: `train.jsonl:42 $.image`; `archive` for the archive itself."""
    where = f"{member}:{line}" if line else member
    return " ".join(filter(None, (where, json_path))) or "archive"
