"""Another project's admin finds no keys here, by no method."""

from typing import Any

import pytest
from visiontune.identity.v1 import identity_pb2 as pb
from visiontune.identity.v1 import identity_pb2_grpc
from visiontune_gateway import app, rpc
from visiontune_gateway.settings import Settings
from visiontune_kit import channels, errors
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.tokens import TokenMinter

PARENT = "projects/default"

REQUESTS: dict[str, Any] = {
    "CreateApiKey": pb.CreateApiKeyRequest(parent=PARENT, api_key=pb.ApiKey(role=pb.ROLE_VIEWER)),
    "ListApiKeys": pb.ListApiKeysRequest(parent=PARENT),
    "DeleteApiKey": pb.DeleteApiKeyRequest(name=f"{PARENT}/apiKeys/k"),
}
# Tells a caller of itself, whoever that is.
ABOUT_NOBODY_ELSE = {name.rpartition("/")[2] for name in rpc.UNSCOPED}


async def test_every_method_is_for_one_project_and_one_role(
    addresses: app.Addresses, settings: Settings
) -> None:
    assert settings.signing_key_file is not None
    minter = TokenMinter.from_file(settings.signing_key_file, "visiontune-gateway")

    def metadata(project: str, role: Role) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {minter.mint(Principal('key:x', project, role, Kind.USER))}")]

    async with channels.connect(addresses.grpc) as channel:
        stub = identity_pb2_grpc.IdentityServiceStub(channel)
        for method, request in REQUESTS.items():
            call = getattr(stub, method)
            with pytest.raises(errors.NotFound):
                await call(request, metadata=metadata("other", Role.ADMIN))
            with pytest.raises(errors.PermissionDenied):
                await call(request, metadata=metadata("default", Role.EDITOR))
            with pytest.raises(channels.ServiceIdentityRefused):  # what a service's own channel makes of it
                await call(request)
