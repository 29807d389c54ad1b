"""The shards of versions, for processes that read them."""

from collections.abc import Sequence
from datetime import timedelta

from visiontune_dataset.domain.datasets import StoredShard
from visiontune_dataset.ports import Deps, ReadableShard

_URL_TTL = timedelta(days=1)


async def readable(shards: Sequence[StoredShard], deps: Deps) -> list[ReadableShard]:
    """Shards with URLs of their files."""
    examples = await deps.storage.sign([shard.examples.object for shard in shards], _URL_TTL)
    previews = await deps.storage.sign([shard.preview.object for shard in shards], _URL_TTL)
    return [
        ReadableShard(shard, of_examples.url, of_preview.url)
        for shard, of_examples, of_preview in zip(shards, examples, previews, strict=True)
    ]
