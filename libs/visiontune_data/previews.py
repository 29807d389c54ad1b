"""Reads the JSON of a preview's `example` column back: the example without its image bytes."""

import json
from collections.abc import Sequence
from typing import Any

from visiontune_data.example import Example, Image, Message, Part


def example_of(text: str) -> Example:
    """The example that `shards.preview_json` wrote. Its images are in no spool."""
    content: dict[str, Any] = json.loads(text)
    negatives = content.get("negatives")
    return Example(
        id=content["id"],
        images=tuple(_image(*image) for image in content["images"]),
        messages=tuple(
            Message(m["role"], tuple(Part(part["text"], part.get("frames", 0)) for part in m["content"]))
            for m in content["messages"]
        ),
        texts=tuple(content["texts"]),
        split=content["split"],
        negatives=None if negatives is None else tuple(_image(*image) for image in negatives),
        metadata_json="" if content["metadata"] == "{}" else content["metadata"],
        problems=tuple(content.get("problems", ())),  # older previews have none
    )


def _image(
    path: str, sha256: str, width_px: int, height_px: int, kind: str, length: int,
    brightness: int = 0, phash: int | None = None,
) -> Image:  # fmt: skip
    return Image(path, sha256, width_px, height_px, kind, 0, length, brightness, phash)


def message_of(message: Message) -> dict[str, Any]:
    """A message as a preview holds it."""
    return {"role": message.role, "content": list(map(_part, message.content))}


def _part(part: Part) -> dict[str, Any]:
    if part.frames:
        return {"type": "video", "text": None, "frames": part.frames}
    return {"type": "image" if part.text is None else "text", "text": part.text}


def stored_messages(messages: Sequence[Any]) -> Sequence[Any]:
    """A preview's messages as a shard has them: a video is its frames there, for `datasets` and TRL."""
    if not any("frames" in part for message in messages for part in message["content"]):
        return messages
    image = {"type": "image", "text": None}

    def stored(part: dict[str, Any]) -> list[dict[str, Any]]:
        return [image] * part["frames"] if "frames" in part else [part]

    return [m | {"content": [each for part in m["content"] for each in stored(part)]} for m in messages]


def frames_of(messages: Sequence[Any]) -> list[dict[str, int]]:
    """The videos in a preview's messages: the place of each's first frame among the images, and the count."""
    found, place = [], 0
    for part in (part for message in messages for part in message["content"] if part["text"] is None):
        count = part.get("frames", 0)
        found += [{"first": place, "count": count}] if count else []
        place += count or 1
    return found


def tags_of(example: Example) -> tuple[str, ...]:
    """The tags of an example: what its metadata lists as `tags`."""
    return tags_in(example.metadata_json)


def tags_in(metadata_json: str) -> tuple[str, ...]:
    """The tags that the metadata lists."""
    found = json.loads(metadata_json).get("tags") if '"tags"' in metadata_json else None
    return tuple(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else ()
