"""API keys made straight in the database, for whoever runs commands on the gateway's machine."""

from visiontune_kit.database import Database
from visiontune_kit.identity import Kind, Principal, Role

from visiontune_gateway import app
from visiontune_gateway.domain.api_keys import InvalidApiKey
from visiontune_gateway.ports import Deps
from visiontune_gateway.settings import Settings
from visiontune_gateway.use_cases.api_keys import CreateApiKey, create_api_key
from visiontune_gateway.use_cases.exchange import authenticate

# Whoever can run this command can read the database anyway.
_LOCAL_OPERATOR = Principal("local:operator", "", Role.OPERATOR, Kind.USER)


async def provide_api_key(settings: Settings, project: str, role: Role, known: str) -> str:
    """Returns `known` when it is a valid key, else a new one."""
    database = Database.open(settings.database_url)
    deps = app.deps_of(settings, database)
    try:
        if known and await _is_valid(known, deps):
            return known
        command = CreateApiKey(project, display_name="made on the server", role=role)
        return (await create_api_key(command, _LOCAL_OPERATOR, deps)).text
    finally:
        await database.close()


async def _is_valid(key: str, deps: Deps) -> bool:
    try:
        await authenticate(key, deps)
    except InvalidApiKey:  # Of an earlier database, for example.
        return False
    return True
