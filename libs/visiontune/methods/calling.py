"""How the client calls any method, and what the resources share: pages, operations."""

import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from google.longrunning import operations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.json_format import MessageToDict, Parse, ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401 (registers the details of errors for parsing)

from visiontune import errors, watch
from visiontune.identity.v1 import identity_pb2
from visiontune.transcode import call_for
from visiontune.transport import Transport, json_of

M = TypeVar("M", bound=Message)

_IDENTITY = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]
_OPERATIONS = operations_pb2.DESCRIPTOR.services_by_name["Operations"]


class Calls:
    """One server and project; calls any method, waits for operations."""

    def __init__(
        self,
        server: str,
        api_key: str,
        *,
        project: str = "",
        timeout_s: float = 30.0,
        trace_id: str = "",
        known_to_run: bool = False,
        on_wait: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._transport = Transport(server, api_key, timeout_s=timeout_s, trace_id=trace_id, tell=on_wait)
        self._transport.answered = known_to_run
        self._project = f"projects/{project}" if project else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes idle connections."""
        self._transport.http.close()

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._transport.server

    @property
    def project(self) -> str:
        """`projects/{project}`: as given, else the key's own."""
        if not self._project:
            self._project = self.get_caller().project
        return self._project

    # Any method, also one that this class does not name.

    def call(
        self, method: MethodDescriptor, request: Message, answer: M, timeout_s: float | None = None
    ) -> M:
        """Calls a unary method and returns `answer`, filled. A `request_id` is added where it can be."""
        call = call_for(method, with_request_id(request))
        data = json_of(self._transport.call(call, timeout_s))
        return ParseDict(data, answer, ignore_unknown_fields=True)

    def pages(self, method: MethodDescriptor, request: Any, answer: M, field: str) -> Iterator[Any]:
        """Every entry of a list method, page after page."""
        while True:
            answer.Clear()
            page: Any = self.call(method, request, answer)
            yield from list(getattr(page, field))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # Identity

    def get_caller(self) -> identity_pb2.Caller:
        """Whose key this is."""
        return self.call(rpc(_IDENTITY, "GetCaller"), identity_pb2.GetCallerRequest(), identity_pb2.Caller())

    # Operations

    def get_operation(self, name: str) -> operations_pb2.Operation:
        """One operation."""
        request = operations_pb2.GetOperationRequest(name=name)
        return self.call(rpc(_OPERATIONS, "GetOperation"), request, operations_pb2.Operation())

    def wait(
        self,
        operation: operations_pb2.Operation | str,
        *,
        timeout_s: float | None = None,
        progress: Callable[[operations_pb2.Operation], None] = lambda _operation: None,
    ) -> operations_pb2.Operation:
        """The ended operation, by itself or its name. Raises the ApiFailure it ended with, or WaitTimeout."""
        if isinstance(operation, str):
            operation = self.get_operation(operation)
        for waited_s in watch.intervals():
            progress(operation)
            if operation.done:
                break
            if timeout_s is not None and waited_s > timeout_s:
                raise errors.WaitTimeout(f"{operation.name} did not end in {timeout_s:.0f} s. It goes on.")
            operation = self.get_operation(operation.name)
        if operation.HasField("error"):
            raise errors.from_status(MessageToDict(operation.error))
        return operation


def rpc(service: ServiceDescriptor, name: str) -> MethodDescriptor:
    """The descriptor of one method."""
    return service.methods_by_name[name]


def with_request_id(request: Message) -> Message:
    """A request that may be repeated: the id is the same in each attempt."""
    fields: Any = request
    if "request_id" in request.DESCRIPTOR.fields_by_name and not fields.request_id:
        fields.request_id = str(uuid.uuid4())
    return cast("Message", fields)


def parse(text: str, message: M) -> M:
    """The message that JSON text tells of; what is newer than this client is left out."""
    return Parse(text, message, ignore_unknown_fields=True)
