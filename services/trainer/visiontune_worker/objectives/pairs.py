"""Texts and images that belong together, as tensors: what the objectives that compare them train on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from visiontune_worker.faults import DataFault
from visiontune_worker.objectives import objective
from visiontune_worker.objectives.belonging import key, keys
from visiontune_worker.objectives.conversations import decode, refuse_special_tokens
from visiontune_worker.objectives.joining import along_first
from visiontune_worker.objectives.objective import Batch, Change, InputKind, Inputs, ModelInput, too_long
from visiontune_worker.shards import Example

# How inputs of a batch are told apart: `text.input_ids` is what the model is given for the texts.
TEXT, IMAGE, NEGATIVE = "text", "image", "negative"


@dataclass(frozen=True, slots=True)
class Side:
    """What stands on one side of an example, and which of it is trained on.

    inputs: of one text or one image each: the first axis is 1, or counts what one is made of.
    keys: int64 [count], see `belonging`. names: what to show for each.
    """

    inputs: tuple[Inputs, ...]
    keys: Tensor
    names: tuple[str, ...]
    place: int = 0

    def drawn(self, seed: int, epoch: int, draws: int) -> "Side":
        """The same, with another of it to train on: a function of these numbers."""
        count = len(self.inputs)
        return replace(self, place=int(np.random.default_rng([seed, epoch, draws]).integers(count)))

    @property
    def size_bytes(self) -> int:
        """Memory that it holds."""
        return sum(tensor.nbytes for each in self.inputs for tensor in each.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(objective.Encoded):
    """An example as its texts, its images, and images that its text shall not find.

    `text` and `vision` are empty: a step takes one text and one image of it. row: its number in the version.
    """

    texts: Side
    images: Side
    negatives: Side
    row: int
    draws: int  # stands for the example's id where something is drawn

    @property
    def length(self) -> int:
        """Alike for all, so that whoever sorts by length keeps their order."""
        return 0

    @property
    def size_bytes(self) -> int:
        """Memory that it holds."""
        return self.texts.size_bytes + self.images.size_bytes + self.negatives.size_bytes

    def views(self) -> Sequence[Inputs]:
        """Every image by itself, negatives among them."""
        return [*self.images.inputs, *self.negatives.inputs]

    def with_views(self, views: Sequence[Inputs]) -> "Pair":
        """The same with other pictures in the views."""
        count = len(self.images.inputs)
        images = replace(self.images, inputs=tuple(views[:count]))
        return replace(self, images=images, negatives=replace(self.negatives, inputs=tuple(views[count:])))

    def seen_in_views(self, example: Example) -> Sequence[Sequence[bytes]]:
        """The image, as the example holds it, that each view is of."""
        return [[each] for each in (*example.images, *example.negatives)]

    @property
    def longest(self) -> int:
        """Tokens of its longest text or image."""
        sides = (*self.texts.inputs, *self.images.inputs, *self.negatives.inputs)
        return max((each["input_ids"].shape[1] for each in sides if "input_ids" in each), default=0)

    def seen(self, seed: int, epoch: int) -> "Pair":
        """As an epoch trains on it: of each side one, by seed, epoch and the example's id."""
        if max(len(self.texts.inputs), len(self.images.inputs)) == 1:
            return self
        texts, images = (each.drawn(seed, epoch, self.draws) for each in (self.texts, self.images))
        return replace(self, texts=texts, images=images)


def encode(
    examples: Sequence[Example],
    change: Change | None,
    *,
    of_texts: Callable[[Sequence[str]], Iterable[Inputs]],
    of_images: Callable[[Sequence[Image]], Iterable[Inputs]],
    longest: int | None,
    special: Sequence[str],
) -> list[Pair]:
    """Examples as pairs. DataFault names one that cannot be compared.

    longest: tokens of a text or an image, at most; None: any number. special: tokens that no text may spell
    out.
    """
    for each in examples:
        refuse_special_tokens(each, each.texts, special)
        if not each.texts or not each.images:
            raise DataFault(
                "NOTHING_TO_PAIR",
                f"Example {each.id!r} has {len(each.texts)} texts and {len(each.images)} images, and a pair "
                "needs one of each. Remove it, or give it what it lacks.",
            )
    texts = iter(of_texts([text for each in examples for text in each.texts]))
    images = iter(of_images([picture for each in examples for picture in _pictures(each, change)]))
    encoded = [_pair(each, texts, images) for each in examples]
    for example, made in zip(examples, encoded, strict=True):
        if longest is not None and made.longest > longest:
            raise too_long(example, made.longest, longest)
    return encoded


def model_inputs(pair: Pair) -> list[ModelInput]:
    """Its texts, its images and its negatives, all of them: of each side an epoch takes one."""
    made = [ModelInput(InputKind.TEXT, each["input_ids"][0]) for each in pair.texts.inputs]
    images = [(InputKind.IMAGE, each) for each in pair.images.inputs]
    images += [(InputKind.NEGATIVE, each) for each in pair.negatives.inputs]
    for place, (kind, inputs) in enumerate(images):
        ids = inputs["input_ids"][0] if "input_ids" in inputs else None
        made.append(ModelInput(kind, ids, None, inputs, slice(place, place + 1)))
    return made


def _pair(example: Example, texts: Iterator[Inputs], images: Iterator[Inputs]) -> Pair:
    def side(inputs: Iterator[Inputs], contents: Sequence[str | bytes], names: Sequence[str]) -> Side:
        return Side(tuple(islice(inputs, len(contents))), keys(contents), tuple(names))

    paths = example.image_paths
    return Pair(
        name=example.name,
        text={},
        vision={},
        prompt="",
        expected="",
        texts=side(texts, example.texts, example.texts),
        images=side(images, example.images, paths[: len(example.images)]),
        negatives=side(images, example.negatives, paths[len(example.images) :]),
        row=example.row,
        draws=key(example.id),
    )


def _pictures(example: Example, change: Change | None) -> Iterator[Image]:
    for index, data in enumerate((*example.images, *example.negatives)):
        picture = decode(data, example)
        yield change(picture, example, index) if change else picture


def collate(pairs: Sequence[Pair]) -> Batch:
    """One text and one image of each pair, and all negatives."""
    texts, images = [each.texts for each in pairs], [each.images for each in pairs]
    inputs = {
        **labelled(TEXT, (each.inputs[each.place] for each in texts)),
        **labelled(IMAGE, (each.inputs[each.place] for each in images)),
        **labelled(NEGATIVE, (made for each in pairs for made in each.negatives.inputs)),
    }
    about = {
        "texts": torch.stack([each.keys[each.place] for each in texts]),
        "images": torch.stack([each.keys[each.place] for each in images]),
        "texts_of": pad_sequence([each.keys for each in texts], batch_first=True),
        "images_of": pad_sequence([each.keys for each in images], batch_first=True),
        "rows": torch.tensor([each.row for each in pairs]),
        "negative_rows": torch.tensor([each.row for each in pairs for _ in each.negatives.inputs]).long(),
    }
    return Batch(
        inputs={**inputs, **about},
        weight=len(pairs),
        padded_tokens=sum(each.numel() for name, each in inputs.items() if name.endswith(".input_ids")),
        examples=len(pairs),
        encoded=tuple(pairs),
    )


def labelled(label: str, inputs: Iterable[Inputs]) -> dict[str, Tensor]:
    """Inputs one behind the other, filled up by zeros, under names that begin with the label."""
    return {f"{label}.{name}": each for name, each in along_first(inputs).items()}


def of(label: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the tensors whose names begin with the label, without it."""
    return {
        name.removeprefix(f"{label}."): each for name, each in tensors.items() if name.startswith(f"{label}.")
    }
