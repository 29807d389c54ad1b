"""IdentityService: parse, call one use case, reply."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import empty_pb2
from visiontune.identity.v1 import identity_pb2 as pb
from visiontune.identity.v1 import identity_pb2_grpc
from visiontune_kit import identity, pages
from visiontune_kit.identity import Role

from visiontune_gateway import wire
from visiontune_gateway.ports import Deps
from visiontune_gateway.use_cases import api_keys

NAME = "visiontune.identity.v1.IdentityService"

ACCESS: Mapping[str, Role] = {
    f"/{NAME}/GetCaller": Role.VIEWER,
    f"/{NAME}/CreateApiKey": Role.ADMIN,
    f"/{NAME}/ListApiKeys": Role.ADMIN,
    f"/{NAME}/DeleteApiKey": Role.ADMIN,
}
UNSCOPED = frozenset({f"/{NAME}/GetCaller"})
# An operator gives other projects their first keys.
CROSS_PROJECT = frozenset({f"/{NAME}/CreateApiKey", f"/{NAME}/ListApiKeys", f"/{NAME}/DeleteApiKey"})


class IdentityService(identity_pb2_grpc.IdentityServiceServicer):
    """See identity.proto."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def GetCaller(self, request: pb.GetCallerRequest, context: Any) -> pb.Caller:
        return wire.caller_to(identity.current())

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.ApiKey:
        command = wire.create_from(request)
        return wire.new_key_to(await api_keys.create_api_key(command, identity.current(), self._deps))

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysResponse:
        size = pages.clamp(request.page_size, default=50, most=1000)
        after = pages.time_and_name(pages.decode(request, request.page_token))
        found = await api_keys.list_api_keys(wire.project_of(request.parent), after, size + 1, self._deps)
        answer = pb.ListApiKeysResponse(api_keys=map(wire.key_to, found[:size]))
        if len(found) > size:
            answer.next_page_token = pages.encode(request, wire.position_of(found[size - 1]))
        return answer

    async def DeleteApiKey(self, request: pb.DeleteApiKeyRequest, context: Any) -> empty_pb2.Empty:
        project, key_id = wire.project_of(request.name), wire.id_of(request.name)
        await api_keys.delete_api_key(project, key_id, identity.current(), self._deps)
        return empty_pb2.Empty()
