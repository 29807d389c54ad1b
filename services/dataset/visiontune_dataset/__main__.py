"""`python -m visiontune_dataset [serve|migrate|await-migration]`."""

import argparse
import asyncio


def main() -> None:
    """Reads the settings and does one of the two."""
    # Imported here, since each process that an import spawns imports this module.
    from visiontune_kit import migrations, server  # noqa: PLC0415
    from visiontune_kit.settings import read  # noqa: PLC0415

    from visiontune_dataset import app  # noqa: PLC0415
    from visiontune_dataset.settings import Settings  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="visiontune_dataset", description="Datasets and their versions.")
    parser.add_argument(
        "command", nargs="?", choices=["serve", "migrate", "await-migration"], default="serve"
    )
    command = parser.parse_args().command
    settings = read(Settings)
    if command == "migrate" or settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url, "visiontune_dataset")
    if command == "await-migration":
        migrations.wait(settings.database_url, "visiontune_dataset")
    if command == "serve":

        async def serve() -> None:
            # Channels belong to the loop that runs when they are made.
            await server.serve(app.build(settings))

        asyncio.run(serve())


if __name__ == "__main__":
    main()
