"""`python -m visiontune_gateway [serve|migrate|await-migration|init-keys|create-api-key]`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from visiontune_kit.identity import Role

from visiontune_gateway import keys


def main(given: Sequence[str] | None = None) -> None:
    """Parses the command line and does what it says."""
    arguments = _parser().parse_args(given)
    command = arguments.command or "serve"
    if command == "init-keys":
        keys.make_all(arguments.keys_dir)
        return
    # Imported here, since the first start of a stack waits for its keys, which need none of it.
    from visiontune_kit import migrations  # noqa: PLC0415
    from visiontune_kit.settings import read  # noqa: PLC0415

    from visiontune_gateway import app, local_keys  # noqa: PLC0415
    from visiontune_gateway.settings import Settings  # noqa: PLC0415

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
        text = asyncio.run(local_keys.provide_api_key(settings, arguments.project, role, known))
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


if __name__ == "__main__":
    main()
