"""What the SDK raises. A server's error keeps its reason, for programs, and its violations, for people.

Failure
├── Unreachable          no server answered
├── TransferFailed       bytes did not get to or from the object store
├── WaitTimeout          what was waited for did not end in time
└── ApiFailure           the server refused; one subclass a code
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request, or the data it names, broke."""

    # Path of the field, or the place in an archive.
    field: str
    description: str
    # Name of the rule; may be empty.
    reason: str = ""


class Failure(Exception):  # noqa: N818 - the tree reads better without Error on every leaf
    """Everything that the SDK raises on purpose."""


class Unreachable(Failure):
    """No server answered, after retries."""


class TransferFailed(Failure):
    """Bytes did not get to or from the object store, after retries."""


class UploadFailed(TransferFailed):
    """An upload broke off. `upload` names it: pass it as `resume` to go on."""

    def __init__(self, message: str, upload: str) -> None:
        super().__init__(message)
        self.upload = upload


class WaitTimeout(Failure):
    """What was waited for did not end in time. It goes on at the server."""


class ApiFailure(Failure):
    """The server refused a call, or an operation ended badly."""

    # Number of the gRPC code; each subclass has its own.
    code = 2

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
        resource: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        # What a program switches on, for example `QuotaExceeded`.
        self.reason = reason
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        # The resource that it is about; may be empty.
        self.resource = resource


class Cancelled(ApiFailure):
    """The call or operation was cancelled."""

    code = 1


class InvalidArgument(ApiFailure):
    """The request, or the data it names, breaks a rule; `violations` say which."""

    code = 3


class DeadlineExceeded(ApiFailure):
    """The server did not finish in time."""

    code = 4


class NotFound(ApiFailure):
    """There is no such resource in this project."""

    code = 5


class AlreadyExists(ApiFailure):
    """The id is taken."""

    code = 6


class PermissionDenied(ApiFailure):
    """The key's role does not allow it."""

    code = 7


class ResourceExhausted(ApiFailure):
    """A quota or a limit is reached."""

    code = 8


class FailedPrecondition(ApiFailure):
    """The resource is not in a state that allows it."""

    code = 9


class Aborted(ApiFailure):
    """Somebody else changed the resource meanwhile."""

    code = 10


class OutOfRange(ApiFailure):
    """A value is beyond what exists."""

    code = 11


class Unimplemented(ApiFailure):
    """The server does not know the call."""

    code = 12


class Internal(ApiFailure):
    """The server has a fault."""

    code = 13


class Unavailable(ApiFailure):
    """The server cannot answer now; trying again may help."""

    code = 14


class DataLoss(ApiFailure):
    """The bytes are not what was declared."""

    code = 15


class Unauthenticated(ApiFailure):
    """The API key is missing or not valid."""

    code = 16


BY_CODE: Mapping[int, type[ApiFailure]] = {kind.code: kind for kind in ApiFailure.__subclasses__()}


def from_status(status: Mapping[str, Any]) -> ApiFailure:
    """The error that a google.rpc.Status, as JSON, stands for."""
    details = {_kind(detail): detail for detail in status.get("details", ())}
    info = details.get("ErrorInfo", {})
    return BY_CODE.get(int(status.get("code", 2)), ApiFailure)(
        str(status.get("message", "")) or "The server gave no message.",
        reason=str(info.get("reason", "")),
        violations=_violations(details),
        metadata=info.get("metadata", {}),
        resource=str(details.get("ResourceInfo", {}).get("resourceName", "")),
    )


def _kind(detail: Mapping[str, Any]) -> str:
    """`BadRequest` of `type.googleapis.com/google.rpc.BadRequest`."""
    return str(detail.get("@type", "")).rpartition(".")[2]


def _violations(details: Mapping[str, Mapping[str, Any]]) -> list[Violation]:
    fields = details.get("BadRequest", {}).get("fieldViolations", ())
    quotas = details.get("QuotaFailure", {}).get("violations", ())
    preconditions = details.get("PreconditionFailure", {}).get("violations", ())
    return [
        *(Violation(v.get("field", ""), v.get("description", ""), v.get("reason", "")) for v in fields),
        *(Violation(v.get("subject", ""), v.get("description", "")) for v in quotas),
        *(
            Violation(v.get("subject", ""), v.get("description", ""), v.get("type", ""))
            for v in preconditions
        ),
    ]
