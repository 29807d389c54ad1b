"""Reads the JSON of a preview's `example` column back: the example without its image bytes."""

import json
from typing import Any

from visiontune_data.example import Example, Image, Message, Part


def example_of(text: str) -> Example:
    """The example that `shards.preview_json` wrote. Its images are in no spool."""
    content: dict[str, Any] = json.loads(text)
    return Example(
        id=content["id"],
        images=tuple(_image(*image) for image in content["images"]),
        messages=tuple(
            Message(m["role"], tuple(Part(part["text"], part.get("frames", 0)) for part in m["content"]))
            for m in content["messages"]
        ),
        texts=tuple(content["texts"]),
        split=content["split"],
        metadata_json="" if content["metadata"] == "{}" else content["metadata"],
        problems=tuple(content.get("problems", ())),  # older previews have none
    )


def _image(
    path: str, sha256: str, width_px: int, height_px: int, kind: str, length: int, brightness: int = 0
) -> Image:
    return Image(path, sha256, width_px, height_px, kind, 0, length, brightness)


def tags_of(example: Example) -> tuple[str, ...]:
    """The tags of an example: what its metadata lists as `tags`."""
    return tags_in(example.metadata_json)


def tags_in(metadata_json: str) -> tuple[str, ...]:
    """The tags that the metadata lists."""
    found = json.loads(metadata_json).get("tags") if '"tags"' in metadata_json else None
    return tuple(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else ()
