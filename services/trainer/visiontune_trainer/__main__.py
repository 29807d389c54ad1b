"""`python -m visiontune_trainer [serve|migrate|await-migration]`."""

import argparse
import asyncio

from visiontune_kit import migrations, server
from visiontune_kit.settings import read

from visiontune_trainer import app
from visiontune_trainer.settings import Settings


def main() -> None:
    """Reads the settings and does one of the two."""
    parser = argparse.ArgumentParser(
        prog="visiontune_trainer", description="Training jobs and their workers."
    )
    parser.add_argument(
        "command", nargs="?", choices=["serve", "migrate", "await-migration"], default="serve"
    )
    command = parser.parse_args().command
    settings = read(Settings)
    if command == "migrate" or settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url, "visiontune_trainer")
    if command == "await-migration":
        migrations.wait(settings.database_url, "visiontune_trainer")
    if command == "serve":
        asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    # Channels to other services belong to the event loop that runs when they are made.
    await server.serve(app.build(settings))


if __name__ == "__main__":
    main()
