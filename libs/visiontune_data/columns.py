"""The columns of shards: their Arrow types, their features in `datasets`, and how Parquet holds them."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import pyarrow as pa

from visiontune_data.example import Kind

_STRING, _INT = {"dtype": "string", "_type": "Value"}, {"dtype": "int32", "_type": "Value"}
_CONTENT = {"feature": {"type": _STRING, "text": _STRING}, "_type": "List"}
_IMAGES = (
    pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    {"feature": {"_type": "Image"}, "_type": "List"},
)
# Columns with their Arrow type and the feature that `datasets` gives them.
COLUMNS: Final[dict[str, tuple[pa.DataType, Any]]] = {
    "id": (pa.string(), _STRING),
    "images": _IMAGES,
    "messages": (
        pa.list_(
            pa.struct(
                [
                    ("role", pa.string()),
                    ("content", pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())]))),
                ]
            )
        ),
        {"feature": {"role": _STRING, "content": _CONTENT}, "_type": "List"},
    ),
    "frames": (
        pa.list_(pa.struct([("first", pa.int32()), ("count", pa.int32())])),
        {"feature": {"first": _INT, "count": _INT}, "_type": "List"},
    ),
    "texts": (pa.list_(pa.string()), {"feature": _STRING, "_type": "List"}),
    "negatives": _IMAGES,
    "split": (pa.string(), _STRING),
    "metadata": (pa.string(), _STRING),
}
_OF_KIND: Final[dict[Kind, frozenset[str]]] = {
    Kind.CHAT: frozenset({"messages"}),
    Kind.CHAT_WITH_IMAGES: frozenset({"images", "messages"}),
    Kind.CHAT_WITH_VIDEO: frozenset({"images", "messages", "frames"}),
    Kind.CAPTIONED_IMAGE: frozenset({"images", "texts"}),
    Kind.RETRIEVAL: frozenset({"images", "texts", "negatives"}),
    Kind.PREFERENCE: frozenset({"images", "messages", "frames", "texts"}),
}
_COMPRESSED: Final = "zstd"
PICTURES: Final = frozenset({"images.list.element.bytes", "negatives.list.element.bytes"})


def schema(columns: Sequence[str]) -> pa.Schema:
    """The schema of a shard with these columns, with the metadata that makes `datasets` decode images."""
    features = {name: COLUMNS[name][1] for name in columns}
    metadata = json.dumps({"info": {"features": features}})
    return pa.schema([(name, COLUMNS[name][0]) for name in columns], metadata={"huggingface": metadata})


def columns_for(kinds: Collection[Kind]) -> list[str]:
    """The columns that these kinds need: an empty `images` would make TRL take text for vision."""
    wanted = {"id", "split", "metadata"}.union(*(_OF_KIND[kind] for kind in kinds))
    return [name for name in COLUMNS if name in wanted]


def parquet_options(of: pa.Schema, stored: Collection[str]) -> dict[str, Any]:
    """How Parquet is written: pictures, compressed already, as they are and without statistics.

    The size of a page is looked at after each value, so that pages of pictures have about a MiB too: a reader
    of one picture reads no more, and what is written at once is small enough to be written quickly.
    """
    leaves = _leaves(of)
    small = [leaf for leaf in leaves if leaf not in stored]
    return {
        "compression": {leaf: "none" if leaf in stored else _COMPRESSED for leaf in leaves},
        "use_dictionary": [leaf for leaf in small if leaf.rpartition(".")[2] in {"split", "role", "type"}],
        "write_statistics": [leaf for leaf in small if leaf in {"id", "split"}],
        "write_page_index": True,
        "write_batch_size": 1,
        "store_schema": True,
    }


def _leaves(of: pa.Schema) -> list[str]:
    """Parquet's paths of the columns that hold values."""

    def walk(prefix: str, type_: pa.DataType) -> Iterable[str]:
        if pa.types.is_list(type_):
            yield from walk(f"{prefix}.list.element", type_.value_type)
        elif pa.types.is_struct(type_):
            for child in type_:
                yield from walk(f"{prefix}.{child.name}", child.type)
        else:
            yield prefix

    return [leaf for column in of for leaf in walk(column.name, column.type)]
