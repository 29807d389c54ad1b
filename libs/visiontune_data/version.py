"""What is made of examples: all of a version but its name."""

from dataclasses import dataclass

from visiontune_data.example import Kind
from visiontune_data.shards import Shard
from visiontune_data.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Version:
    """What an import made. `row_splits` has a byte a row, an index into SPLIT_NAMES."""

    digest: str
    manifest_sha256: str
    format: str
    kinds: tuple[Kind, ...]
    shards: tuple[Shard, ...]
    statistics: Statistics
    row_splits: bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of all shards, previews not counted."""
        return sum(shard.examples.size_bytes for shard in self.shards)
