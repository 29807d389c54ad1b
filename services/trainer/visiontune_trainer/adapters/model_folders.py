"""Folders with models on this machine, where it sees those of the workers."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

_MOST_BYTES = 1024**2


class ModelFolders:
    """Implements `ports.ModelFolders`."""

    def __init__(self, roots: Sequence[PurePosixPath]) -> None:
        self._roots = tuple(roots)

    def config(self, folder: str) -> dict[str, Any] | None:
        """Reads config.json; None where there is none to read here, or below no allowed folder."""
        try:
            path = (Path(folder) / "config.json").resolve(strict=True)
            if not any(path.is_relative_to(Path(root).resolve()) for root in self._roots):
                return None
            with path.open("rb") as file:
                told = json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None
