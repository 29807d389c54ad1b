"""Every way in which a dataset call can fail; the class name is the reason that programs see."""

from collections.abc import Sequence
from datetime import datetime

from visiontune_data.formats import FORMATS
from visiontune_data.report import Problem, Report
from visiontune_kit import errors
from visiontune_kit.errors import Violation
from visiontune_recipes.problem import Problem as SpecProblem

_MOST_VIOLATIONS = 20
_SHOWN_JOBS = 5


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


class ImageLinksOff(errors.FailedPrecondition):
    """Links to pictures would begin nowhere."""

    def __init__(self) -> None:
        super().__init__(
            "This installation signs no links to pictures. For them the dataset service needs "
            "VISIONTUNE_DATASET_PUBLIC_BASE_URL, the address of the gateway or of a CDN before it, its "
            "signing key and the list of issuers."
        )


class ImageLinkInvalid(errors.PermissionDenied):
    """A link that proves nothing (any more)."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"The link is not valid: {detail}. Ask for a new one (SignImageLinks).")


class VersionInUse(errors.FailedPrecondition):
    """Somebody may still read or edit it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}. Set force to delete it all the same.", resource=name)


class InUseByJobs(errors.FailedPrecondition):
    """Training jobs that have not ended read it."""

    def __init__(self, name: str, jobs: Sequence[str]) -> None:
        shown = ", ".join(jobs[:_SHOWN_JOBS]) + (", …" if len(jobs) > _SHOWN_JOBS else "")
        super().__init__(
            f"{len(jobs):,} training jobs that have not ended use {name}: {shown}. "
            "Wait for them, cancel them, or set force: they then fail where they still have to read it.",
            resource=name,
            metadata={"training_jobs": shown},
        )


class TrainerUnavailable(errors.Unavailable):
    """Nobody can tell now which jobs use something."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The trainer cannot be asked which jobs use {name}. "
            "Retry in a moment, or set force to delete it unasked."
        )


class ReportNotFound(errors.NotFound):
    """No import of that name has ended."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist. A report exists once its import has ended.", resource=name)


class DatasetExists(errors.AlreadyExists):
    """The id is taken."""

    def __init__(self, name: str, *, deleting: bool, until: datetime | None = None) -> None:
        advice = "It is being deleted; try again in a minute" if deleting else "Choose another id"
        if until:
            when = until.strftime("%Y-%m-%d %H:%M UTC")
            advice = f"It is deleted and can be brought back until {when}; do that, or purge it"
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


class DraftNotFound(errors.NotFound):
    """No such draft of the dataset, or not any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist, or was committed, deleted or expired.", resource=name)


class DatasetEmpty(errors.FailedPrecondition):
    """It has no version yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no version that could be edited. Import one first.", resource=name)


class DraftCommitting(errors.FailedPrecondition):
    """An operation makes a version of the draft."""

    def __init__(self, name: str, operation: str) -> None:
        super().__init__(
            f"{name} is being committed by {operation}. Wait for it, or cancel it to go on with the draft.",
            resource=name,
            metadata={"operation": operation},
        )


class DraftEmpty(errors.FailedPrecondition):
    """There is nothing to commit."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no edits. Add some, or delete it.", resource=name)


class DraftOutdated(errors.FailedPrecondition):
    """The dataset has another newest version than the one that the draft edits."""

    def __init__(self, name: str, base: int, newest: int) -> None:
        super().__init__(
            f"{name} edits v{base}, and v{newest} is the newest version now. Rebase the draft (RebaseDraft, "
            "or --rebase), which applies its edits to that one, then commit it.",
            resource=name,
            metadata={"base": f"v{base}", "newest": f"v{newest}"},
        )


class RebaseConflict(errors.Aborted):
    """Examples that the draft edits are others in the newest version, or gone."""

    def __init__(self, name: str, newest: int, reasons: Sequence[str]) -> None:
        more = f" and {len(reasons) - 1:,} more" if len(reasons) > 1 else ""
        super().__init__(
            f"{name} cannot be moved to v{newest}: {reasons[0]}{more}. Revert the edits of these examples "
            "(RevertEdits), rebase, and edit them anew.",
            resource=name,
            violations=[
                Violation("edits", reason, "RebaseConflict") for reason in reasons[:_MOST_VIOLATIONS]
            ],
        )


class TooManyDrafts(errors.ResourceExhausted):
    """The dataset has as many drafts as it may."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"{name} has {limit:,} drafts, as many as it may. Commit or delete one.", resource=name
        )


class TooManyEdits(errors.ResourceExhausted):
    """The draft has as many edits as it may."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"{name} would have more than {limit:,} edits. Commit it, and go on in another one.",
            resource=name,
        )


class EditRefused(errors.InvalidArgument):
    """Edits break rules of data; none of them was added. `problems` are in the order of the edits."""

    def __init__(self, name: str, problems: Sequence[tuple[str, Problem]]) -> None:
        texts = [(where, problem.text(""), problem.rule) for where, problem in problems]
        more = f" ({len(texts) - 1:,} more)" if len(texts) > 1 else ""
        super().__init__(
            f"{texts[0][0]}: {texts[0][1]}{more}",
            violations=[Violation(*each) for each in texts[:_MOST_VIOLATIONS]],
            resource=name,
        )


class ExportNotFound(errors.NotFound):
    """No such export of the dataset, or not any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist, or has expired. Export the version again.", resource=name)


class ExportUnfit(errors.InvalidArgument):
    """The format has no place for what the version has."""

    def __init__(self, version: str, reason: str, advice: str) -> None:
        super().__init__(
            f"{version} cannot be exported so: {reason}; {advice}.",
            violations=[Violation("format", f"{reason}; {advice}", "ExportUnfit")],
            resource=version,
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


class AugmentationRefused(errors.InvalidArgument):
    """The policy is none that a job could have."""

    def __init__(self, problems: Sequence[SpecProblem]) -> None:
        violations = [Violation(p.field, f"{p.message} {p.remedy}", p.rule) for p in problems]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        first = violations[0]
        super().__init__(f"{first.field}: {first.description}{more}", violations=violations)


class NoPictures(errors.FailedPrecondition):
    """There is nothing to augment."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"None of the examples of {name} that were looked at has a picture. Name rows that have one.",
            resource=name,
        )


class PreviewNotInstalled(errors.FailedPrecondition):
    """Nothing here can augment pictures."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"Augmentations cannot be shown: {missing} is not installed beside the dataset service. Ask the "
            "operator to install the extra `worker`, or to set VISIONTUNE_WORKER_PYTHON or "
            "VISIONTUNE_DATASET_PREVIEW_TARGET."
        )
