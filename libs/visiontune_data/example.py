"""The canonical example: what every format is turned into, and what a version's digest is made of."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, Self

Role = Literal["system", "user", "assistant"]
# To look for cycles would take a third of the time; there are none in what was JSON or is made here.
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)


class Kind(StrEnum):
    """What an example can train."""

    CHAT_WITH_IMAGES = "chat-with-images"
    CHAT = "chat"
    CAPTIONED_IMAGE = "captioned-image"
    CHAT_WITH_VIDEO = "chat-with-video"
    RETRIEVAL = "retrieval"
    PREFERENCE = "preference"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: a text, or (`text` is None) the place of the example's next image.

    With `frames` it is a video: the example's next so many images, in order.
    """

    text: str | None = None
    frames: int = 0

    @property
    def type(self) -> str:
        """`text`, `image` or `video`, as Hugging Face chat templates call them."""
        if self.text is not None:
            return "text"
        return "video" if self.frames else "image"

    @property
    def code(self) -> str | int | None:
        """The part as one JSON value: its text, its frames, or null for an image."""
        return self.frames or self.text

    @classmethod
    def of(cls, code: str | int | None) -> Self:
        """The part of a code."""
        return cls(code) if code is None or isinstance(code, str) else cls(frames=code)


IMAGE = Part()
VIDEO = Part(frames=-1)  # of a draft: a video whose frames are not counted yet


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image that a record names: `path` as written, `json_path` to say where."""

    path: str
    json_path: str


@dataclass(frozen=True, slots=True)
class VideoRef:
    """A video that a record names: the path of a file or a folder of frames, or the paths of its frames."""

    paths: tuple[str, ...]
    json_path: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a format makes of one record, before its images are looked up.

    `message_paths` and `text_paths` are the JSON paths of messages and captions, for problems in them.
    `texts` are captions; of a retrieval the query; beside messages the answer to which the last one is
    preferred. `negatives` is None but for retrieval, where `images` are those that the text shall find.
    """

    id: str | None
    images: tuple[ImageRef | VideoRef, ...]
    messages: tuple[Message, ...] = ()
    message_paths: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    text_paths: tuple[str, ...] = ()
    negatives: tuple[ImageRef, ...] | None = None
    split: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """Facts of one decoded image. `offset` and `length` find its original bytes in the import's spool."""

    path: str
    sha256: str
    width_px: int
    height_px: int
    format: str
    offset: int
    length: int
    brightness: int = 0  # mean luma of the thumbnail, 0 to 255
    phash: int | None = None  # perceptual hash; None where there is too little to see


@dataclass(frozen=True, slots=True)
class Example:
    """One canonical example. `split` is "" until the version's splits are decided.

    `problems` are the rules that it breaks: warnings, since an error leaves no example.
    """

    id: str
    images: tuple[Image, ...]
    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    split: str
    metadata_json: str
    problems: tuple[str, ...] = ()
    negatives: tuple[Image, ...] | None = None

    @property
    def kind(self) -> Kind:
        """What it can train."""
        return kind_of(self.messages, self.images, self.negatives, self.texts)

    @property
    def all_images(self) -> tuple[Image, ...]:
        """The images and the negatives."""
        return self.images + (self.negatives or ())

    @property
    def answers(self) -> tuple[str, ...]:
        """What a model would learn to say: the last assistant message, or the captions."""
        if not self.messages:
            return self.texts
        last = next((message for message in reversed(self.messages) if message.role == "assistant"), None)
        return (text_of(last),) if last else ()


def kind_of(messages: Sequence[Message], images: Sized, negatives: Sized | None, texts: Sized) -> Kind:
    """What an example with these can train."""
    if negatives is not None:
        return Kind.RETRIEVAL
    if not messages:
        return Kind.CAPTIONED_IMAGE
    if texts:
        return Kind.PREFERENCE
    if any(part.frames for message in messages for part in message.content):
        return Kind.CHAT_WITH_VIDEO
    return Kind.CHAT_WITH_IMAGES if images else Kind.CHAT


def text_of(message: Message) -> str:
    """The message's text parts, joined."""
    if len(message.content) == 1:
        return message.content[0].text or ""
    return "".join([part.text for part in message.content if part.text is not None])


def with_frames(messages: Iterable[Message], counts: Iterable[int]) -> tuple[Message, ...]:
    """The messages with the numbers of frames of their videos, in order."""
    following = iter(counts)
    return tuple(
        replace(m, content=tuple(Part(frames=next(following)) if p.frames else p for p in m.content))
        for m in messages
    )


def with_videos(messages: Iterable[Message], frames: Iterable[Mapping[str, int]]) -> tuple[Message, ...]:
    """The messages of a shard with videos where it has runs of images, as its column `frames` says."""
    counts, place = {each["first"]: each["count"] for each in frames}, 0
    made: list[Message] = []
    for message in messages:
        content: list[Part] = []
        inside = 0
        for part in message.content:
            if part.text is not None:
                content.append(part)
                continue
            if not inside:
                inside = counts.get(place, 0)
                content.append(Part(frames=inside))
            inside, place = max(inside - 1, 0), place + 1
        made.append(replace(message, content=tuple(content)))
    return tuple(made)


def joined(content: Iterable[Part]) -> tuple[Part, ...]:
    """The content with neighbouring texts as one, and none that is empty: the same to every chat template."""
    parts: list[Part] = []
    for part in content:
        if part.text is not None and parts and parts[-1].text is not None:
            parts[-1] = Part(parts[-1].text + part.text)
        elif part.text != "":
            parts.append(part)
    return tuple(parts)


def canonical(value: Any) -> bytes:
    """`value` as canonical JSON: UTF-8, sorted keys, no spaces."""
    return canonical_text(value).encode()


def canonical_text(value: Any) -> str:
    """The same, before it is encoded."""
    return _CANONICAL.encode(value)


def content_of(example: Example) -> list[Any]:
    """What makes an example the same example, apart from its id and split: no paths, times or offsets."""
    messages = [[m.role, [part.code for part in m.content]] for m in example.messages]
    images = [image.sha256 for image in example.images]
    content = [images, messages, list(example.texts), example.metadata_json]
    if example.negatives is not None:
        content.append([image.sha256 for image in example.negatives])
    return content


def content_id(example: Example) -> str:
    """An id for a record that gave none: the digest of its content, short enough to read."""
    return hashlib.sha256(canonical(content_of(example))).hexdigest()[:16]
