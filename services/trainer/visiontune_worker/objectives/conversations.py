"""Conversations with pictures as a family's processor understands them, and which tokens are answers."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from PIL.Image import Image
from torch import Tensor
from visiontune_data import pictures
from visiontune_recipes.facts import Kind
from visiontune_recipes.families import Family

from visiontune_worker.faults import ConfigurationFault, DataFault
from visiontune_worker.objectives.objective import Change
from visiontune_worker.shards import Example
from visiontune_worker.template import marks_stop, tokenizer_of

Messages = Sequence[Mapping[str, Any]]
# A kept video has neither times nor a rate: its frames count as this many a second, for families that ask.
VIDEO_FPS = 1.0
IMAGE_PLACE, VIDEO_PLACE = "<image>", "<video>"


@dataclass(frozen=True, slots=True)
class Rendered:
    """text: what the processor makes of it along the text, `input_ids` among it. trained: bool [length]."""

    text: Mapping[str, Tensor]
    vision: Mapping[str, Tensor]
    trained: Tensor


class Renderer:
    """Gives conversations to a family's processor; to a tokenizer alone where the family has no pictures."""

    def __init__(self, processor: Any, family: Family, stop_ids: Sequence[int]) -> None:
        self._processor = processor
        self._tokenizer = tokenizer_of(processor)
        self._sees = processor is not self._tokenizer
        self._videos = Kind.CHAT_WITH_VIDEO in family.takes
        self._video_frames = family.video_frames
        self._together = family.one_place_an_image or not self._sees
        self._stop_ids = frozenset(stop_ids)
        self._encode = family.encode
        self._marked = family.encode is not None or marks_stop(processor, self._stop_ids)

    def render(
        self, examples: Sequence[Example], conversations: Sequence[Messages], change: Change | None
    ) -> list[Rendered]:
        """Each conversation of an example; together where that gives the same, since it is faster."""
        filled = [
            self._filled(example, messages, change)
            for example, messages in zip(examples, conversations, strict=True)
        ]
        each = [slice(number, number + 1) for number in range(len(filled))]
        groups = [slice(None)] if self._together else each
        return [rendered for group in groups for rendered in self._group(examples[group], filled[group])]

    def _group(
        self, examples: Sequence[Example], conversations: Sequence[list[dict[str, Any]]]
    ) -> Iterator[Rendered]:
        found = self._inputs(examples, conversations)
        images = [_count(messages, "image") for messages in conversations]
        first = [0, *accumulate(images)]
        lengths = found["attention_mask"].sum(1).tolist()
        for row, length in enumerate(lengths):
            # Copies, so that one that is kept does not keep the batch.
            text = {
                name: value[row, :length].clone()
                for name, value in found.items()
                if name == "input_ids" or (name.endswith("token_type_ids") and self._sees)
            }
            vision = {
                name: value[first[row] : first[row + 1]].clone() if len(conversations) > 1 else value
                for name, value in found.items()
                if name not in text and name not in _TOKENIZERS_KEYS
            }
            trained = (
                found["assistant_masks"][row, :length].bool()
                if self._marked
                else self._found(conversations[row], text["input_ids"])
            )
            has_pictures = images[row] or _count(conversations[row], "video")
            yield Rendered(text, vision if has_pictures else {}, trained)

    def _inputs(
        self, examples: Sequence[Example], conversations: Sequence[list[dict[str, Any]]]
    ) -> Mapping[str, Any]:
        if self._encode is None:
            return self._apply(conversations, marks=self._marked)
        try:
            return self._encode(self._processor, conversations[0])
        except ValueError as error:
            raise DataFault("CONVERSATION_NOT_TAKEN", f"Example {examples[0].id!r}: {error}.") from error

    def _found(self, messages: Sequence[dict[str, Any]], input_ids: Tensor) -> Tensor:
        """The answers of a template that marks none: each from where a prompt ends to its stop token."""
        trained = input_ids.new_zeros(len(input_ids)).bool()
        stops = [place for place, token in enumerate(input_ids.tolist()) if token in self._stop_ids]
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._apply([messages[:number]], marks=False, prompt=True)["input_ids"][0]
            start = len(prompt)
            end = next((place + 1 for place in stops if place >= start), 0)
            if not end or not input_ids[:start].equal(prompt):
                raise ConfigurationFault(
                    "TEMPLATE_HIDES_ANSWERS",
                    "The model's chat template does not mark answers, and writes what precedes one otherwise "
                    "than when it asks for it, or no stop token behind it. Give the model's repository a "
                    "template with {% generation %} around what the assistant says, stop token included.",
                )
            trained[start:end] = True
        return trained

    def _apply(
        self, conversations: Sequence[Sequence[dict[str, Any]]], *, marks: bool, prompt: bool = False
    ) -> Mapping[str, Any]:
        common = {
            "tokenize": True,
            "return_dict": True,
            "return_tensors": "pt",
            "add_generation_prompt": prompt,
            "return_assistant_tokens_mask": marks,
            "chat_template": self._template() if marks else None,
        }
        padding: dict[str, Any] = {"padding": True, "padding_side": "right"}
        videos = [video for messages in conversations for each in messages for video in _videos_of(each)]
        arguments = {**padding, **(video_arguments(videos) if videos else {})}
        if self._sees:
            return dict(
                self._processor.apply_chat_template(conversations, **common, processor_kwargs=arguments)
            )
        arguments = {"padding": arguments.pop("padding"), "tokenizer_kwargs": arguments}
        return dict(self._processor.apply_chat_template(conversations, **common, **arguments))

    def _template(self) -> str:
        """The processor's template, with a comment in front that makes it this thread's own.

        transformers compiles a text once, and what it compiled notes where answers are: of two threads that
        use the same at once, one would find the other's.
        """
        return f"{{#{threading.get_ident()}+#}}{self._processor.chat_template}"

    def _filled(self, example: Example, messages: Messages, change: Change | None) -> list[dict[str, Any]]:
        """The messages with their pictures; for a tokenizer, text alone."""
        if not self._sees:
            return [{"role": each["role"], "content": text_of(each)} for each in messages]
        videos = example.videos if self._videos else {}
        places = _Pictures(example, change, videos, self._video_frames)
        return [
            {"role": each["role"], "content": [*places.filled(each["content"] or ())]} for each in messages
        ]


@dataclass(slots=True)
class _Pictures:
    """Hands out an example's pictures in order, frames of a video together."""

    example: Example
    change: Change | None
    videos: Mapping[int, int]
    video_frames: int
    index: int = 0
    inside: int = 0  # frames of the present video that follow as places of their own

    def filled(self, parts: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """The parts of a message with what is seen at each."""
        for part in parts:
            if part["type"] != "image":
                yield {"type": "text", "text": part["text"] or ""}
            elif self.inside:
                self.inside -= 1
            elif frames := self.videos.get(self.index, 0):
                self.inside = frames - 1
                seen = [self._next() for _ in range(frames)]
                yield {"type": "video", "video": [seen[n] for n in frames_of(frames, self.video_frames)]}
            else:
                yield {"type": "image", "image": self._next()}

    def _next(self) -> Image:
        example, index = self.example, self.index
        if index >= len(example.images):
            raise DataFault("IMAGE_MISSING", f"Example {example.id!r} has more image places than images.")
        self.index += 1
        picture = decode(example.images[index], example)
        return self.change(picture, example, index) if self.change else picture


def frames_of(count: int, wanted: int) -> list[int]:
    """Which frames of a video are seen, and how often; 0: all, but never one alone, which has no time."""
    wanted = wanted or max(2, count)
    return [place * count // wanted for place in range(wanted)]


# What every processor returns of its tokenizer, and what no model is given.
_TOKENIZERS_KEYS = frozenset({"attention_mask", "assistant_masks", "token_type_ids"})


def up_to_last_answer(example: Example) -> list[Mapping[str, Any]]:
    """The conversation up to the last answer: from what follows nothing is learnt."""
    messages: list[Mapping[str, Any]] = list(example.messages)
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        raise DataFault(
            "NO_ANSWER",
            f"Example {example.id!r} has no message of the assistant, so there is nothing to learn.",
        )
    return messages


def prompt_of(messages: Messages, videos: Mapping[int, int]) -> str:
    """What precedes the last answer, for people to read. videos: those of the example."""
    text = "\n".join(f"{each['role']}: {text_of(each)}" for each in messages[:-1])
    if len(messages) == 2:
        text = text_of(messages[0])
    pieces = text.split(IMAGE_PLACE)
    ends = {first + count - 1 for first, count in videos.items()}
    frames = {first + place for first, count in videos.items() for place in range(count - 1)}
    shown = [
        "" if place in frames else VIDEO_PLACE if place in ends else IMAGE_PLACE
        for place in range(len(pieces) - 1)
    ]
    return "".join(piece for pair in zip(pieces, [*shown, ""], strict=True) for piece in pair)


def text_of(message: Mapping[str, Any]) -> str:
    """A message as text, image places as `<image>`."""
    parts = message["content"] or ()
    return "".join(IMAGE_PLACE if part["type"] == "image" else part["text"] or "" for part in parts)


def refuse_special_tokens(example: Example, texts: Sequence[str], special: Sequence[str]) -> None:
    """DataFault when a text spells out a token that steers the model."""
    found = next((token for token in special if token and any(token in text for text in texts)), None)
    if found is not None:
        raise DataFault(
            "SPECIAL_TOKEN_IN_TEXT",
            f"Example {example.id!r} contains the text {found!r}, which the tokenizer takes for a "
            "control token. Remove it from the text.",
        )


def decode(data: bytes, example: Example) -> Image:
    """A picture of an example, as training sees it. DataFault when it cannot be decoded."""
    try:
        return pictures.read(data)
    except (OSError, ValueError) as error:
        raise DataFault(
            "IMAGE_BROKEN", f"An image of example {example.id!r} cannot be decoded: {error}"
        ) from error


def _count(messages: Sequence[Mapping[str, Any]], kind: str) -> int:
    return sum(part["type"] == kind for each in messages for part in _parts(each))


def _videos_of(message: Mapping[str, Any]) -> Iterator[Sequence[Image]]:
    return (part["video"] for part in _parts(message) if part["type"] == "video")


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return () if isinstance(content, str) else content


def video_arguments(videos: Sequence[Sequence[Image]]) -> dict[str, Any]:
    """Frames are taken as they are: which ones was decided when the video was imported."""
    metadata = [
        {
            "total_num_frames": len(frames),
            "fps": VIDEO_FPS,
            "frames_indices": list(range(len(frames))),
            "duration": len(frames) / VIDEO_FPS,
        }
        for frames in videos
    ]
    return {"do_sample_frames": False, "video_metadata": metadata}
