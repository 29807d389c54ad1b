"""`python -m visiontune_gateway [serve|migrate|await-migration|init-keys|create-api-key]`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from visiontune_kit import migrations
from visiontune_kit.database import Database
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.settings import read

from visiontune_gateway import app, keys
from visiontune_gateway.domain.api_keys import InvalidApiKey
from visiontune_gateway.ports import Deps
from visiontune_gateway.settings import Settings
from visiontune_gateway.use_cases.api_keys import CreateApiKey, create_api_key
from visiontune_gateway.use_cases.exchange import authenticate

# Whoever can run this command can read the database anyway.
_LOCAL_OPERATOR = Principal("local:operator", "", Role.OPERATOR, Kind.USER)


def main(given: Sequence[str] | None = None) -> None:
    """Parses the command line and does what it says."""
    arguments = _parser().parse_args(given)
    command = arguments.command or "serve"
    if command == "init-keys":
        keys.make_all(arguments.keys_dir)
        return
    settings = read(Settings)
    if command == "migrate" or settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url, "visiontune_gateway")
    if command == "await-migration":
        migrations.wait(settings.database_url, "visiontune_gateway")
    elif command == "serve":
        asyncio.run(app.serve(settings))
    elif command == "create-api-key":
        role = Role[arguments.role.upper()]
        file: Path | None = arguments.file
        known = file.read_text("utf-8").strip() if file and file.exists() else ""
        text = asyncio.run(provide_api_key(settings, arguments.project, role, known))
        if file is None:
            sys.stdout.write(f"{text}\n")
        elif text != known:
            keys.write_private(file, f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="visiontune_gateway", description="REST, identity and the web UI.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve until stopped (the default)")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    commands.add_parser("await-migration", help="return once the database is at the newest schema")
    init_keys = commands.add_parser("init-keys", help="make the services' signing keys; keeps what exists")
    init_keys.add_argument("--keys-dir", type=Path, required=True)
    create = commands.add_parser("create-api-key", help="make an API key, straight in the database")
    create.add_argument("--project", default="default")
    create.add_argument("--role", choices=[role.name.lower() for role in Role], default="editor")
    create.add_argument("--file", type=Path, help="write it there, unless that file holds a valid key")
    return parser


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


if __name__ == "__main__":
    main()
