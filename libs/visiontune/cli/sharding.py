"""One tar of WebDataset's samples cut into several, as those who train from such tars keep them."""

import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

NUMBER = "%06d"  # as webdataset's own writer takes it
SHARD_BYTES = 1_000_000_000


def numbered(pattern: Path, number: int) -> Path:
    """The tar of that number."""
    return pattern.with_name(pattern.name.replace(NUMBER, f"{number:06d}"))


def cut(whole: Path, pattern: Path, shard_bytes: int = SHARD_BYTES) -> list[Path]:
    """Writes the samples to the tars of the pattern, from 0; returns these.

    A tar ends with the sample that makes it `shard_bytes` long; no sample is divided. Raises OSError.
    """
    written: list[Path] = []
    with tarfile.open(whole, "r|") as source, ExitStack() as stack:
        target: tarfile.TarFile | None = None
        for sample in _samples(source):
            if target is None or target.offset >= shard_bytes:
                stack.close()
                written.append(numbered(pattern, len(written)))
                target = stack.enter_context(tarfile.open(written[-1], "w", format=tarfile.PAX_FORMAT))
            for member in sample:
                target.addfile(member, source.extractfile(member))
    return written


def _samples(source: tarfile.TarFile) -> Iterator[Iterator[tarfile.TarInfo]]:
    """Neighbours whose paths are the same up to the first dot of the name."""

    def key(member: tarfile.TarInfo) -> tuple[str, str]:
        folder, name = posixpath.split(member.name)
        return folder, name.partition(".")[0]

    return (members for _, members in groupby(source, key))
