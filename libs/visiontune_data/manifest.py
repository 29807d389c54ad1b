"""What a version is, in two digests: of the examples themselves, and of the files that hold them."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data.example import Example, canonical, content_of
from visiontune_data.shards import Shard

_LAYOUT = 2  # part of both digests: raised when their meaning changes


class ExamplesDigest:
    """sha256 over the examples of each split, in order: id, images, messages, captions, metadata.

    Not over files, nor over how the splits interleave: training sees one split at a time, and an export
    has a file for each.
    """

    def __init__(self) -> None:
        self._of_split: dict[str, Any] = defaultdict(hashlib.sha256)

    def add(self, example: Example) -> None:
        """Adds the next example."""
        self._of_split[example.split].update(line_of(example) + b"\n")

    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits."""
        splits = {name: found.hexdigest() for name, found in self._of_split.items()}
        return f"sha256:{hashlib.sha256(canonical({'layout': _LAYOUT, 'splits': splits})).hexdigest()}"


def line_of(example: Example) -> bytes:
    """All of an example that the digest is about."""
    return canonical([example.id, example.split, *content_of(example)])


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
