"""What a call to the trainer can fail with, and the problems of a spec."""

from collections.abc import Sequence

from visiontune_kit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    Unavailable,
    Violation,
)
from visiontune_recipes.check import Problem

SPEC_FIELD = "training_job.spec."


def violation_of(problem: Problem) -> Violation:
    """Returns the problem as a violation of the request's field."""
    return Violation(SPEC_FIELD + problem.field, f"{problem.message} {problem.remedy}", problem.rule)


class SpecRefused(InvalidArgument):
    """The job could not run as asked."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        violations = [violation_of(problem) for problem in problems]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        first = violations[0]
        super().__init__(f"{first.field}: {first.description}{more}", violations=violations)


class VisionTrainingDisabled(FailedPrecondition):
    """The operator switched vision training off."""

    def __init__(self, family: str) -> None:
        subject = f'The family "{family}"' if family else "This job"
        super().__init__(
            f"{subject} trains on images, and vision training is switched off here. "
            "Ask the operator to set ENABLE_VISION_TRAINING=true."
        )


class JobNotFound(NotFound):
    """No such job in this project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was not found.", resource=name)


class JobExists(AlreadyExists):
    """The id is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} exists already. Choose another id, or leave it empty.", resource=name)


class JobEnded(FailedPrecondition):
    """Too late to cancel."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(f"{name} has already ended ({state}); there is nothing to cancel.", resource=name)


class JobRuns(FailedPrecondition):
    """Too early to delete."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"{name} is {state}. Cancel it and wait for its end before deleting it.", resource=name
        )


class ModelNotFound(NotFound):
    """No such model in this project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was not found.", resource=name)


class ModelExists(AlreadyExists):
    """The id is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} exists already. Choose another id.", resource=name)


class NoResult(FailedPrecondition):
    """Only the result of a job that SUCCEEDED can be registered."""

    def __init__(self, job: str, state: str) -> None:
        super().__init__(
            f"{job} is {state} and has no model to register; it must have SUCCEEDED.", resource=job
        )


class PreviewNotInstalled(FailedPrecondition):
    """Nothing here can encode examples."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"Examples cannot be shown: {missing} is not installed beside the trainer. Ask the operator to "
            "install the extra `worker`, or to set VISIONTUNE_TRAINER_PREVIEW_TARGET."
        )


class PreviewRefused(FailedPrecondition):
    """The examples cannot be shown; the message says why."""


class StaleAttempt(PermissionDenied):
    """The attempt is no longer the current one. Its worker must exit without touching anything."""

    def __init__(self, attempt: str) -> None:
        super().__init__(f"{attempt} is no longer current. Exit.", resource=attempt)


class AttemptClaimed(AlreadyExists):
    """Another worker has the attempt."""

    def __init__(self, attempt: str) -> None:
        super().__init__(f"{attempt} was claimed by another worker. Exit.", resource=attempt)


class AttemptNotClaimed(FailedPrecondition):
    """A worker has to claim before anything else."""

    def __init__(self, attempt: str) -> None:
        super().__init__(f"{attempt} was not claimed yet. Call ClaimAttempt first.", resource=attempt)


class DatasetGone(FailedPrecondition):
    """The version was deleted after the job was created."""

    def __init__(self, version: str) -> None:
        super().__init__(f"{version} was deleted, so the job cannot go on.", resource=version)


class CheckpointGone(FailedPrecondition):
    """The job to go on from was deleted after this one was created."""

    def __init__(self, checkpoint: str) -> None:
        super().__init__(f"{checkpoint} was deleted, so the job cannot go on from it.", resource=checkpoint)


class UploadNotOfFolder(InvalidArgument):
    """A commit names an upload that was made for something else."""

    def __init__(self, upload: str, folder: str) -> None:
        message = f"{upload} is no file of {folder}. Name the uploads that CreateFileUploads gave for it."
        super().__init__(message, violations=[Violation("files", message, "UploadNotOfFolder")])


class FilePathRefused(InvalidArgument):
    """A file's path could lead out of its folder."""

    def __init__(self, path: str) -> None:
        message = (
            f"{path!r} is no path below a folder. Use letters, digits, `.`, `_` and `-` between slashes."
        )
        super().__init__(message, violations=[Violation("files", message, "FilePathRefused")])


class FolderDeleted(FailedPrecondition):
    """A worker stores into a checkpoint that was already replaced."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was replaced by newer ones and cannot be written again.", resource=name)


class CursorGone(OutOfRange):
    """The cursor of a watch is not one of this job."""

    def __init__(self, job: str, cursor: str) -> None:
        super().__init__(f"{cursor!r} is no cursor of {job}. Watch again without one.", resource=job)


class BackendUnavailable(Unavailable):
    """The backend cannot be asked now; says nothing about any worker."""


class LaunchPostponed(Unavailable):
    """The backend cannot start this worker yet; the message says why."""


class LaunchRefused(FailedPrecondition):
    """The backend will not start this worker."""
