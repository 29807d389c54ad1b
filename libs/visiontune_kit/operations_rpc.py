# ruff: noqa: N802 - the methods are named by the proto
"""google.longrunning.Operations on the operations of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.longrunning import operations_pb2 as pb
from google.protobuf import empty_pb2

from visiontune_kit import operations_store as store
from visiontune_kit import pages
from visiontune_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from visiontune_kit.operations import Operations

MOST_WAIT_S = 30.0
FILTERS: dict[str, bool | None] = {"": None, "done=true": True, "done=false": False}
_Context = grpc.aio.ServicerContext[Any, Any]


class UnsupportedFilter(InvalidArgument):
    """Operations can be filtered by `done` alone."""

    def __init__(self, text: str) -> None:
        super().__init__(f"filter {text!r} is not supported. Use done=true or done=false, or leave it out.")


class InvalidOperationName(InvalidArgument):
    """A name outside every project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not a resource name. Operations lie under projects/PROJECT.")


class Servicer:
    """The five methods; errors are raised as failures, and mapped where every servicer's are."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetOperation(self, request: pb.GetOperationRequest, _context: _Context) -> pb.Operation:
        """Returns an operation as it is now."""
        return await self._operations.get(request.name)

    async def ListOperations(
        self, request: pb.ListOperationsRequest, _context: _Context
    ) -> pb.ListOperationsResponse:
        """Lists all operations under the parent `name`, newest first. filter: done=true or done=false."""
        if request.filter.replace(" ", "") not in FILTERS:
            raise UnsupportedFilter(request.filter)
        parent = request.name.removesuffix("/operations")
        size = pages.clamp(request.page_size, default=50, most=500)
        async with self._operations.database.session() as session:
            rows = await store.page(
                session,
                project=project(parent),
                prefix=f"{parent}/",
                done=FILTERS[request.filter.replace(" ", "")],
                after=pages.time_and_name(pages.decode(request, request.page_token)),
                limit=size + 1,
            )
        answer = pb.ListOperationsResponse(operations=[store.operation(row) for row in rows[:size]])
        if len(rows) > size:
            last = rows[size - 1]
            answer.next_page_token = pages.encode(request, [last["created_at"].isoformat(), last["name"]])
        return answer

    async def CancelOperation(
        self, request: pb.CancelOperationRequest, _context: _Context
    ) -> empty_pb2.Empty:
        """Asks an operation to stop; nothing happens to one that is done."""
        await self._operations.cancel(request.name)
        return empty_pb2.Empty()

    async def DeleteOperation(
        self, request: pb.DeleteOperationRequest, _context: _Context
    ) -> empty_pb2.Empty:
        """Forgets an operation that has ended."""
        await self._operations.delete(request.name)
        return empty_pb2.Empty()

    async def WaitOperation(self, request: pb.WaitOperationRequest, context: _Context) -> pb.Operation:
        """Returns the operation once it is done, or as it is after `timeout`, at most 30 s."""
        asked_s = request.timeout.ToNanoseconds() / 1e9 if request.HasField("timeout") else MOST_WAIT_S
        remaining_s = context.time_remaining()
        # A second before the deadline, so that the answer still arrives.
        allowed_s = MOST_WAIT_S if remaining_s is None else max(remaining_s - 1, 0)
        return await self._operations.wait(request.name, min(asked_s, allowed_s, MOST_WAIT_S))


def project(name: str) -> str:
    """Returns the bare id in `projects/{project}/…`. Raises InvalidOperationName."""
    match name.split("/"):
        case ["projects", bare_id, *_]:
            return bare_id
        case _:
            raise InvalidOperationName(name)
