"""Logs of programs that write to a file by themselves and are rotated from outside."""

import shutil
from pathlib import Path
from typing import IO

KEPT = 3


def open_for(path: Path) -> IO[bytes]:
    """A file to hand to a child as its output. In append mode a truncation does not leave a hole."""
    return path.open("ab", buffering=0)


def rotate(path: Path, limit_bytes: int) -> bool:
    """Copies a log that is too long to `.1` and empties it; true when it did.

    The writer keeps its file open, so the file is emptied and not moved: a program whose supervisor died
    still logs. A line written between the copy and the truncation is lost.
    """
    if not path.exists() or path.stat().st_size <= limit_bytes:
        return False
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    with path.open("r+b") as log:
        log.truncate(0)
    return True


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log; empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 64 * 1024))
        return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])
