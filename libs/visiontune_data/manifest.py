"""What a version is, in two digests: of the examples themselves, and of the files that hold them."""

import hashlib
from collections.abc import Mapping, Sequence

from visiontune_data.example import Example, canonical, content_of
from visiontune_data.shards import Shard

_LAYOUT = 1  # part of both digests: raised when their meaning changes


class ExamplesDigest:
    """sha256 over the examples in order: id, images, messages, captions, metadata, split. Not over files."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(canonical({"layout": _LAYOUT}) + b"\n")

    def add(self, example: Example) -> None:
        """Adds the next example."""
        self._hash.update(canonical([example.id, example.split, *content_of(example)]) + b"\n")

    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits."""
        return f"sha256:{self._hash.hexdigest()}"


def manifest_sha256(
    format_name: str, columns: Sequence[str], split_counts: Mapping[str, int], shards: Sequence[Shard]
) -> str:
    """sha256 of the canonical manifest: the shards as files, in order. No times, names or ids."""
    manifest = {
        "layout": _LAYOUT,
        "format": format_name,
        "columns": list(columns),
        "splits": dict(split_counts),
        "shards": [
            {"sha256": s.examples.sha256, "rows": s.row_count, "bytes": s.examples.size_bytes} for s in shards
        ],
    }
    return hashlib.sha256(canonical(manifest)).hexdigest()
