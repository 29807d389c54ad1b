"""config.json of repositories on the Hugging Face Hub, where the operator lets the trainer read them."""

import asyncio
import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

_NAME = "config.json"
_PATIENCE_S = 10.0
_MOST_BYTES = 1024**2


class HubConfigs:
    """Implements `ports.HubConfigs`. The library's own variables say where the Hub and its cache are."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    async def config(self, repo_id: str, revision: str) -> dict[str, Any] | str:
        """Reads that one file, from the cache where it is new enough; or says why it cannot be read."""
        if not self._enabled:
            return "The trainer reads nothing from the Hub unless VISIONTUNE_TRAINER_READ_HUB is true."
        try:
            async with asyncio.timeout(_PATIENCE_S):
                told = await asyncio.to_thread(_read, repo_id, revision or None)
        except TimeoutError:
            return f"The Hub did not give the config.json of {repo_id} within {_PATIENCE_S:.0f} s."
        except (OSError, ValueError) as error:
            return f"The config.json of {repo_id} cannot be read from the Hub: {error}"
        return told if isinstance(told, dict) else f"The config.json of {repo_id} has no fields."


def _read(repo_id: str, revision: str | None) -> Any:
    # Before it is fetched: whoever made the repository chose its size.
    size = hf_hub_download(repo_id, _NAME, revision=revision, dry_run=True).file_size or 0
    if size > _MOST_BYTES:
        raise ValueError("it is larger than 1 MiB")
    return json.loads(Path(hf_hub_download(repo_id, _NAME, revision=revision)).read_text(encoding="utf-8"))
