"""`python -m visiontune_gateway [serve|migrate|init-keys|create-api-key]`."""

import argparse
import asyncio
import sys
from pathlib import Path

from visiontune_kit import migrations
from visiontune_kit.database import Database
from visiontune_kit.errors import Failure
from visiontune_kit.identity import Kind, Principal, Role

from visiontune_gateway import app, keys
from visiontune_gateway.settings import Settings
from visiontune_gateway.use_cases.api_keys import CreateApiKey, create_api_key
from visiontune_gateway.use_cases.exchange import authenticate

# Whoever can run this command can read the database anyway.
_LOCAL_OPERATOR = Principal("local:operator", "", Role.OPERATOR, Kind.USER)


def main() -> None:
    """Parses the command line and does what it says."""
    arguments = _parser().parse_args()
    command = arguments.command or "serve"
    if command == "init-keys":
        keys.make_all(arguments.keys_dir)
        return
    settings = Settings()
    if command == "migrate" or settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url, "visiontune_gateway")
    if command == "serve":
        asyncio.run(app.serve(settings))
    elif command == "create-api-key":
        role = Role[arguments.role.upper()]
        text = asyncio.run(provide_api_key(settings, arguments.project, role, arguments.file))
        if text and arguments.file is None:
            sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="visiontune_gateway", description="REST, identity and the web UI.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve until stopped (the default)")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    init_keys = commands.add_parser("init-keys", help="make the services' signing keys; keeps what exists")
    init_keys.add_argument("--keys-dir", type=Path, required=True)
    create = commands.add_parser("create-api-key", help="make an API key, straight in the database")
    create.add_argument("--project", default="default")
    create.add_argument("--role", choices=[role.name.lower() for role in Role], default="editor")
    create.add_argument("--file", type=Path, help="write it there, unless that file holds a valid key")
    return parser


async def provide_api_key(settings: Settings, project: str, role: Role, file: Path | None) -> str:
    """Returns a new key, also written to `file`; empty when `file` holds a valid one already."""
    database = Database.open(settings.database_url)
    deps = app.deps_of(settings, database)
    try:
        if file is not None and file.exists():
            try:
                await authenticate(file.read_text("utf-8").strip(), deps)
            except Failure:
                pass  # Of an earlier database: replaced below.
            else:
                return ""
        command = CreateApiKey(project, display_name="made on the server", role=role)
        new = await create_api_key(command, _LOCAL_OPERATOR, deps)
        if file is not None:
            keys.write_private(file, f"{new.text}\n")
        return new.text
    finally:
        await database.close()


if __name__ == "__main__":
    main()
