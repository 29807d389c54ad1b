"""What runs in the processes that bench_import has made: nothing else is imported there."""

import io
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image
from visiontune_data.ingest import Options, ingest
from visiontune_data.local import LocalSource


def import_archive(connection: Connection, archive: Path, scratch: Path, processes: int) -> None:
    """What an import does between archive and upload of the shards; sends how many examples it made."""
    options = Options(processes=processes, start_method="fork")
    with archive.open("rb") as file:
        outcome = ingest(LocalSource(file), archive.name, scratch, options)
    connection.send(outcome.version.statistics.example_count if outcome.version else 0)


def decode(path: Path) -> None:
    """Reads and decodes a file with Pillow, and keeps nothing."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()
