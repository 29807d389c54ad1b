"""`python -m visiontune_storage [serve|migrate|await-migration]`."""

import argparse
import asyncio

from visiontune_kit import migrations, server
from visiontune_kit.settings import read

from visiontune_storage import app
from visiontune_storage.settings import Settings


def main() -> None:
    """Reads the settings and does one of the two."""
    parser = argparse.ArgumentParser(prog="visiontune_storage", description="Uploads, objects and quotas.")
    parser.add_argument(
        "command", nargs="?", choices=["serve", "migrate", "await-migration"], default="serve"
    )
    command = parser.parse_args().command
    settings = read(Settings)
    if command == "migrate" or settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url, "visiontune_storage")
    if command == "await-migration":
        migrations.wait(settings.database_url, "visiontune_storage")
    if command == "serve":
        asyncio.run(server.serve(app.build(settings)))


if __name__ == "__main__":
    main()
