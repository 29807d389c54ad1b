"""Next-token cross-entropy on what the assistant says, stop tokens included, and on nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from visiontune_data import pictures

from visiontune_worker.faults import ConfigurationFault, DataFault
from visiontune_worker.shards import Example

IGNORED = -100
# What becomes of a picture before the processor has it: picture, its example, its place in that.
Change = Callable[[Image.Image, Example, int], Image.Image]
# What a processor returns besides the inputs of the vision tower.
_TEXT_KEYS = frozenset({"input_ids", "attention_mask", "assistant_masks"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example, ready to be put into a batch.

    input_ids: int64 [length], image tokens expanded. trained: bool [length], True on the assistant's tokens.
    vision: what the vision tower takes, first axis images. answer_start: where the last answer begins.
    """

    name: str
    input_ids: Tensor
    trained: Tensor
    vision: Mapping[str, Tensor]
    answer_start: int
    prompt: str  # what is put to the model before the last answer, image places as `<image>`
    expected: str  # the last answer

    @property
    def size_bytes(self) -> int:
        """Memory that it holds."""
        tensors = (self.input_ids, self.trained, *self.vision.values())
        return sum(each.nbytes for each in tensors)


@dataclass(frozen=True, slots=True)
class Batch:
    """inputs: keyword arguments of the model, padded on the right; trained: bool [batch, length]."""

    inputs: Mapping[str, Tensor]
    trained: Tensor
    tokens: int  # trained tokens, for which the loss is a sum
    padded_tokens: int
    examples: int

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        if device.type == "cpu":
            return self
        inputs = {name: each.to(device, non_blocking=True) for name, each in self.inputs.items()}
        return Batch(inputs, self.trained.to(device), self.tokens, self.padded_tokens, self.examples)


class Encoder:
    """Turns examples into token ids and pixels, with a processor whose template marks the answers."""

    def __init__(self, processor: Any, *, max_length: int, stop_ids: Sequence[int]) -> None:
        self._processor = processor
        self._max_length = max_length
        self._stop_ids = frozenset(stop_ids)
        self._special = [each for each in processor.tokenizer.all_special_tokens if each]

    def encode(self, examples: Sequence[Example], change: Change | None = None) -> list[Encoded]:
        """Encodes examples together, which is faster. DataFault names one that cannot be trained on.

        What an example becomes does not depend on its company. change: keeps a picture's size.
        """
        conversations = [_up_to_last_answer(each) for each in examples]
        for example, messages in zip(examples, conversations, strict=True):
            self._refuse_special_tokens(example, messages)
        found = self._processor.apply_chat_template(
            [_with_images(*each, change) for each in zip(examples, conversations, strict=True)],
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "right"},
        )
        visions = _split_vision(found, [_image_places(each) for each in conversations])
        lengths = found["attention_mask"].sum(1).tolist()
        return [
            self._encoded(
                examples[row],
                conversations[row],
                # Copies, so that one that is kept does not keep the batch.
                found["input_ids"][row, :length].clone(),
                found["assistant_masks"][row, :length].bool(),
                visions[row],
            )
            for row, length in enumerate(lengths)
        ]

    def _encoded(
        self,
        example: Example,
        messages: Sequence[Mapping[str, Any]],
        input_ids: Tensor,
        trained: Tensor,
        vision: Mapping[str, Tensor],
    ) -> Encoded:
        self._check(example, input_ids, trained)
        return Encoded(
            name=example.name,
            input_ids=input_ids,
            trained=trained,
            vision=vision,
            answer_start=_last_run_start(trained),
            prompt=_prompt_text(messages),
            expected=_text(messages[-1]).strip(),
        )

    def _check(self, example: Example, input_ids: Tensor, trained: Tensor) -> None:
        if len(input_ids) > self._max_length:
            raise DataFault(
                "EXAMPLE_TOO_LONG",
                f"Example {example.id!r} has {len(input_ids)} tokens, images included; max_length is "
                f"{self._max_length}. Shorten it, or raise hyperparameters.max_length.",
            )
        if not bool(trained.any()):
            raise ConfigurationFault(
                "TEMPLATE_MARKS_NO_ANSWER",
                f"The chat template marks no answer in example {example.id!r}; it needs {{% generation %}}.",
            )
        last = int(input_ids[trained.nonzero()[-1]])
        if last not in self._stop_ids:
            raise ConfigurationFault(
                "TEMPLATE_TRAINS_NO_STOP",
                f"The last trained token of example {example.id!r} is no stop token: answers would not end.",
            )

    def _refuse_special_tokens(self, example: Example, messages: Sequence[Mapping[str, Any]]) -> None:
        texts = [part["text"] or "" for message in messages for part in message["content"] or ()]
        found = next((token for token in self._special if any(token in text for text in texts)), None)
        if found is not None:
            raise DataFault(
                "SPECIAL_TOKEN_IN_TEXT",
                f"Example {example.id!r} contains the text {found!r}, which the tokenizer takes for a "
                "control token. Remove it from the text.",
            )


def collate(examples: Sequence[Encoded], pad_id: int) -> Batch:
    """A batch padded on the right. Without padding it has no mask, which makes attention faster."""
    lengths = [len(each.input_ids) for each in examples]
    longest = max(lengths)
    input_ids = torch.full((len(examples), longest), pad_id)
    trained = torch.zeros((len(examples), longest), dtype=torch.bool)
    for row, each in enumerate(examples):
        input_ids[row, : lengths[row]] = each.input_ids
        trained[row, : lengths[row]] = each.trained
    inputs = {"input_ids": input_ids, **_vision(examples)}
    if min(lengths) < longest:
        inputs["attention_mask"] = _mask(lengths, longest)
    # The first token is predicted by nothing.
    tokens = int(trained[:, 1:].sum())
    return Batch(inputs, trained, tokens, len(examples) * longest, len(examples))


def collate_prompts(examples: Sequence[Encoded], pad_id: int) -> dict[str, Tensor]:
    """What precedes the last answers, padded on the left, for generation."""
    lengths = [each.answer_start for each in examples]
    longest = max(lengths)
    input_ids = torch.full((len(examples), longest), pad_id)
    for row, each in enumerate(examples):
        input_ids[row, longest - lengths[row] :] = each.input_ids[: lengths[row]]
    return {
        "input_ids": input_ids,
        "attention_mask": _mask(lengths, longest).flip(1),
        **_vision(examples),
    }


def loss(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy summed over the trained tokens (float32 scalar), and how many were the likeliest (int64).

    Logits are made for the positions before trained tokens only: the vocabulary is often the largest axis.
    """
    before_trained = functional.pad(batch.trained[:, 1:], (0, 1))
    logits = model(**batch.inputs, use_cache=False, logits_to_keep=before_trained).logits.float()
    targets = batch.inputs["input_ids"][:, 1:][batch.trained[:, 1:]]
    right = (logits.detach().argmax(-1) == targets).sum()
    return functional.cross_entropy(logits, targets, reduction="sum"), right


def _up_to_last_answer(example: Example) -> list[Mapping[str, Any]]:
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


def _with_images(
    example: Example, messages: Sequence[Mapping[str, Any]], change: Change | None
) -> list[dict[str, Any]]:
    images = enumerate(example.images)

    def part_with_image(part: Mapping[str, Any]) -> dict[str, Any]:
        if part["type"] != "image":
            return {"type": "text", "text": part["text"] or ""}
        found = next(images, None)
        if found is None:
            raise DataFault("IMAGE_MISSING", f"Example {example.id!r} has more image places than images.")
        index, data = found
        picture = _decode(data, example)
        return {"type": "image", "image": change(picture, example, index) if change else picture}

    return [
        {"role": each["role"], "content": [part_with_image(part) for part in each["content"] or ()]}
        for each in messages
    ]


def _decode(data: bytes, example: Example) -> Image.Image:
    try:
        return pictures.read(data)
    except (OSError, ValueError) as error:
        raise DataFault(
            "IMAGE_BROKEN", f"An image of example {example.id!r} cannot be decoded: {error}"
        ) from error


def _image_places(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(part["type"] == "image" for each in messages for part in each["content"] or ())


def _split_vision(found: Mapping[str, Any], images: Sequence[int]) -> list[dict[str, Tensor]]:
    """What belongs to each example. The first axis of every vision input counts images, in order."""
    split = {name: value.split(list(images)) for name, value in found.items() if name not in _TEXT_KEYS}
    return [
        {name: parts[row].clone() for name, parts in split.items()} if count else {}
        for row, count in enumerate(images)
    ]


def _prompt_text(messages: Sequence[Mapping[str, Any]]) -> str:
    if len(messages) == 2:
        return _text(messages[0])
    return "\n".join(f"{each['role']}: {_text(each)}" for each in messages[:-1])


def _text(message: Mapping[str, Any]) -> str:
    parts = message["content"] or ()
    return "".join("<image>" if part["type"] == "image" else part["text"] or "" for part in parts)


def _last_run_start(trained: Tensor) -> int:
    """Where the last run of True begins."""
    last = int(trained.nonzero()[-1])
    gaps = (~trained[: last + 1]).nonzero()
    return int(gaps[-1]) + 1 if len(gaps) else 0


def _vision(examples: Sequence[Encoded]) -> dict[str, Tensor]:
    names = dict.fromkeys(name for each in examples for name in each.vision)
    return {
        name: torch.cat([each.vision[name] for each in examples if name in each.vision]) for name in names
    }


def _mask(lengths: Sequence[int], longest: int) -> Tensor:
    return (torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]).long()
