"""What a call to the trainer can fail with, and the problems of a spec."""

from collections.abc import Sequence

from visiontune_kit.errors import (
    Aborted,
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
_SHOWN_USERS = 5


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
    """Too late to cancel, pause or resume."""

    def __init__(self, name: str, state: str, verb: str) -> None:
        super().__init__(f"{name} has already ended ({state}); there is nothing to {verb}.", resource=name)


class JobBeingCancelled(FailedPrecondition):
    """A user asked to stop; the job cannot be paused or resumed any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is being cancelled. Create the job anew to train it.", resource=name)


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


class ModelInUse(FailedPrecondition):
    """Something could not be loaded any more without it."""

    def __init__(self, name: str, users: Sequence[str]) -> None:
        shown = ", ".join(users[:_SHOWN_USERS]) + (", …" if len(users) > _SHOWN_USERS else "")
        super().__init__(
            f"{name} is what these start from: {shown}. Wait for the jobs or cancel them, and delete the "
            "adapters first.",
            resource=name,
            metadata={"users": shown},
        )


class StaleEtag(Aborted):
    """The name is another one's now."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not the one that was read. Read it again and repeat.", resource=name)


class NoResult(FailedPrecondition):
    """Only the result of a job that SUCCEEDED can be registered."""

    def __init__(self, job: str, state: str, artifact: str = "") -> None:
        wanted = f"artifact `{artifact}`" if artifact else "model"
        super().__init__(
            f"{job} is {state} and has no {wanted} to register; it must have SUCCEEDED.", resource=job
        )


class PreviewNotInstalled(FailedPrecondition):
    """Nothing here can encode examples."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"Examples cannot be shown: {missing} is not installed beside the trainer. Ask the operator to "
            "install the extra `worker`, or to set VISIONTUNE_WORKER_PYTHON or "
            "VISIONTUNE_TRAINER_PREVIEW_TARGET."
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
