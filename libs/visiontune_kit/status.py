"""The one place where failures become google.rpc.Status, and come back from it."""

from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from visiontune_kit import errors
from visiontune_kit.errors import Failure, Violation

DOMAIN = "visiontune.dev"
DETAILS_HEADER = "grpc-status-details-bin"
# gRPC drops the whole status when its headers pass 8 to 16 KiB.
_MOST_VIOLATIONS = 20
_MOST_BYTES = 6 * 1024
_MOST_MESSAGE_CHARS = 2_000

CODES: dict[type[Failure], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Internal: grpc.StatusCode.INTERNAL,
}
_FAILURES: dict[int, type[Failure]] = {code.value[0]: failure for failure, code in CODES.items()}


def code_of(failure: Failure) -> grpc.StatusCode:
    """Returns the gRPC code that the failure's parent decides."""
    return next(CODES[parent] for parent in type(failure).__mro__ if parent in CODES)


def to_status(failure: Failure) -> status_pb2.Status:
    """Returns the failure with ErrorInfo, and BadRequest, QuotaFailure or ResourceInfo where they apply.

    Violations are cut to 20 and the whole to 6 KiB; `violation_count` in the metadata keeps the number.
    """
    status = status_pb2.Status(code=code_of(failure).value[0], message=failure.message[:_MOST_MESSAGE_CHARS])
    metadata = dict(failure.metadata)
    if failure.violations:
        metadata.setdefault("violation_count", str(len(failure.violations)))
    _attach(status, error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=metadata))
    if failure.violations:
        _attach(status, _bad_request(failure.violations, _MOST_BYTES - status.ByteSize()))
    elif isinstance(failure, errors.ResourceExhausted):
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=failure.resource, description=failure.message)
        _attach(status, quota)
    elif isinstance(failure, errors.FailedPrecondition):
        precondition = error_details_pb2.PreconditionFailure()
        precondition.violations.add(
            type=failure.reason, subject=failure.resource, description=failure.message
        )
        _attach(status, precondition)
    if failure.resource:
        _attach(
            status,
            error_details_pb2.ResourceInfo(
                resource_type=_resource_type(failure.resource),
                resource_name=failure.resource,
                description=failure.message[:200],
            ),
        )
    return status


def from_status(status: status_pb2.Status) -> Failure:
    """Rebuilds the failure that `to_status` described; the class is the code's, the reason is kept."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    resource = error_details_pb2.ResourceInfo()
    for detail in status.details:
        for target in (info, bad_request, resource):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
    return _FAILURES.get(status.code, errors.Internal)(
        status.message,
        violations=[
            Violation(violation.field, violation.description, violation.reason)
            for violation in bad_request.field_violations
        ],
        metadata=dict(info.metadata),
        resource=resource.resource_name,
        reason=info.reason or None,
    )


def from_rpc_error(error: grpc.RpcError) -> Failure:
    """Returns the failure that a call of another service ended with."""
    trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    details = dict(trailing).get(DETAILS_HEADER)
    if isinstance(details, bytes):
        try:
            return from_status(status_pb2.Status.FromString(details))
        except DecodeError:
            pass  # A foreign server's header; code and message remain.
    return from_status(status_pb2.Status(code=error.code().value[0], message=error.details() or ""))


def _bad_request(violations: Iterable[Violation], room: int) -> error_details_pb2.BadRequest:
    result = error_details_pb2.BadRequest()
    for violation in list(violations)[:_MOST_VIOLATIONS]:
        result.field_violations.add(
            field=violation.field, description=violation.description, reason=violation.reason
        )
        if result.ByteSize() > room and len(result.field_violations) > 1:
            del result.field_violations[-1]
            break
    return result


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _resource_type(name: str) -> str:
    """`projects/p/datasets/d` is of type `visiontune.dev/datasets`."""
    segments = name.split("/")
    return f"{DOMAIN}/{segments[-2] if len(segments) >= 2 else segments[0]}"
