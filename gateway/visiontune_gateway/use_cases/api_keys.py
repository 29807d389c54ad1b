"""Making, listing and revoking API keys."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from visiontune_kit.identity import Principal

from visiontune_gateway.domain import api_keys as domain
from visiontune_gateway.domain.api_keys import ApiKey, ApiKeyNotFound, RequestIdTaken
from visiontune_gateway.ports import Deps


@dataclass(frozen=True, slots=True)
class CreateApiKey:
    """What is asked for."""

    project: str
    display_name: str
    role: int
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key and, once only, the text that users hold."""

    key: ApiKey
    text: str


async def create_api_key(command: CreateApiKey, caller: Principal, deps: Deps) -> NewApiKey:
    """Makes a key. Raises RoleAboveOwn, RequestIdTaken.

    A repeated request_id finds the key that the first call made and gives it a fresh secret: the first
    answer was lost, or the caller would not ask again, and no secret is kept that could be repeated.
    """
    domain.require_role(caller.role, command.role)
    secret = deps.new_secret()
    made = ApiKey(
        id=_key_id(command, caller),
        project=command.project,
        display_name=command.display_name,
        role=command.role,
        secret_sha256=domain.digest(secret),
        created_at=deps.clock.now(),
    )
    async with deps.unit_of_work() as uow:
        earlier = await uow.keys.find(made.id)
        if earlier is None:
            await uow.keys.add(made)
        elif (earlier.display_name, earlier.role) != (made.display_name, made.role):
            raise RequestIdTaken
        else:
            await uow.keys.replace_secret(made.id, made.secret_sha256)
        await uow.commit()
    return NewApiKey(earlier or made, domain.join(made.id, secret))


async def list_api_keys(
    project: str, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> list[ApiKey]:
    """Returns a project's keys, newest first."""
    async with deps.unit_of_work() as uow:
        return await uow.keys.page(project, after, limit)


async def delete_api_key(project: str, key_id: str, caller: Principal, deps: Deps) -> None:
    """Revokes a key. Raises ApiKeyNotFound, RoleAboveOwn."""
    async with deps.unit_of_work() as uow:
        key = await uow.keys.find(key_id)
        if key is None or key.project != project:
            raise ApiKeyNotFound(f"projects/{project}/apiKeys/{key_id}")
        domain.require_role(caller.role, key.role)
        await uow.keys.remove(key_id)
        await uow.commit()


def _key_id(command: CreateApiKey, caller: Principal) -> str:
    """Random, or derived from who asked and their request_id."""
    entropy = secrets.token_bytes(10)
    if command.request_id:
        text = "\0".join((caller.subject, command.project, command.request_id))
        entropy = hashlib.sha256(text.encode()).digest()[:10]
    return f"k-{base64.b32encode(entropy).decode().lower()}"
