"""Proto to domain and back, pure."""

from visiontune.identity.v1 import identity_pb2 as pb
from visiontune_kit.identity import Principal

from visiontune_gateway.domain.api_keys import ApiKey
from visiontune_gateway.use_cases.api_keys import CreateApiKey, NewApiKey


def project_of(name: str) -> str:
    """`projects/p/…` → `p`."""
    return name.split("/")[1]


def id_of(name: str) -> str:
    """The last segment."""
    return name.rpartition("/")[2]


def create_from(request: pb.CreateApiKeyRequest) -> CreateApiKey:
    """What CreateApiKey asks for."""
    return CreateApiKey(
        project=project_of(request.parent),
        display_name=request.api_key.display_name,
        role=request.api_key.role,
        request_id=request.request_id,
    )


def key_to(key: ApiKey) -> pb.ApiKey:
    """A key without its secret."""
    message = pb.ApiKey(name=key.name, display_name=key.display_name, role=pb.Role.ValueType(key.role))
    message.create_time.FromDatetime(key.created_at)
    return message


def new_key_to(new: NewApiKey) -> pb.ApiKey:
    """A key with its secret."""
    message = key_to(new.key)
    message.secret = new.text
    return message


def caller_to(principal: Principal) -> pb.Caller:
    """Who is calling."""
    return pb.Caller(
        subject=principal.subject,
        project=f"projects/{principal.project}",
        role=pb.Role.ValueType(principal.role),
    )


def position_of(key: ApiKey) -> list[str | int]:
    """Where a page that ends with `key` continues."""
    return [key.created_at.isoformat(), key.id]
