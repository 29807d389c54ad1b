"""All held-out texts compared with all held-out images, across the ranks: what is measured is made of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from visiontune_worker.objectives import belonging, ranking
from visiontune_worker.objectives.coupling import Embeddings
from visiontune_worker.objectives.joining import along_first
from visiontune_worker.objectives.objective import Inputs
from visiontune_worker.objectives.pairs import Pair, Side
from visiontune_worker.ranks import Ranks

MOST_PLACES = 10


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A held-out example: the places of its first text, its first image and its negatives."""

    name: str
    text: int
    image: int
    negatives: Sequence[int]


@dataclass(frozen=True, slots=True)
class Compared:
    """Likenesses of all held-out texts (rows) and of all different images (columns), negatives among them.

    alike: float32 [texts, images]. known: bool of the same shape, see `belonging`. distinct: int64, where
    each of the different texts stands first.
    """

    alike: Tensor
    known: Tensor
    text_names: Sequence[str]
    image_names: Sequence[str]
    distinct: Tensor
    examples: Sequence[HeldOut]

    def images_found(self) -> Tensor:
        """For each text, whether the images most like it are right; see `ranking`."""
        return ranking.ranked(self.alike, self.known, MOST_PLACES)

    def texts_found(self) -> Tensor:
        """For each image that has a text, whether the different texts most like it are right."""
        own = self.known.any(dim=0)
        alike, known = self.alike[self.distinct][:, own], self.known[self.distinct][:, own]
        return ranking.ranked(alike.T, known.T, MOST_PLACES)

    def best_images(self, example: HeldOut, most: int = 3) -> list[str]:
        """Names of the images most like an example's text, the likest first."""
        order = self.alike[example.text].topk(min(most, self.alike.shape[1])).indices
        return [self.image_names[place] for place in order.tolist()]

    def best_texts(self, example: HeldOut, most: int = 3) -> list[str]:
        """The different texts most like an example's image, the likest first."""
        order = self.alike[self.distinct, example.image].topk(min(most, len(self.distinct))).indices
        return [self.text_names[place] for place in self.distinct[order].tolist()]

    def blocks(self, size: int) -> Iterator[Sequence[HeldOut]]:
        """The examples in order, so many at a time."""
        return (self.examples[first : first + size] for first in range(0, len(self.examples), size))


class _Named(NamedTuple):
    """A text or an image without its tensors. key: see `belonging`. belongs: keys of the other side."""

    name: str
    key: int
    belongs: Sequence[int]


@dataclass(slots=True)
class _Part:
    """What a rank holds out, without tensors, since it is told as JSON."""

    texts: list[_Named] = field(default_factory=list)
    images: list[_Named] = field(default_factory=list)
    # Name, place of the first text, key of the first image, keys of the negatives.
    examples: list[tuple[str, int, int, list[int]]] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        negatives = pair.negatives.keys.tolist()
        self.examples.append((pair.name, len(self.texts), int(pair.images.keys[0]), negatives))
        self.texts += _named(pair.texts, pair.images.keys)


def compare(
    batches: Iterable[Sequence[Pair]],
    ranks: Ranks,
    *,
    texts: Callable[[Inputs], Embeddings],
    images: Callable[[Inputs], Embeddings],
    alike: Callable[[Embeddings, Embeddings], Tensor],
) -> Compared:
    """Compares what all ranks hold out, on all of them. batches: this rank's part, gone through twice.

    The texts are embedded first, and all ranks learn those of all. Images are compared as they are embedded:
    of them nothing but likenesses is kept.
    """
    part = _Part()
    embedded = []
    for batch in batches:
        for pair in batch:
            part.add(pair)
        embedded.append(texts(along_first(each for pair in batch for each in pair.texts.inputs)))
    whole, _ = ranks.gather(along_first(embedded))
    columns = []
    seen: set[int] = set()
    for batch in batches:
        fresh = []
        for inputs, about in _images(batch):
            if about.key not in seen:
                seen.add(about.key)
                part.images.append(about)
                fresh.append(inputs)
        if fresh:
            columns.append({"alike": alike(whole, images(along_first(fresh))).T})
    found, _ = ranks.gather(along_first(columns))
    return _assembled(found["alike"].float().cpu(), ranks.exchange(asdict(part)))


def _named(side: Side, other: Tensor) -> Iterator[_Named]:
    belongs = other.tolist()
    return (_Named(name, key, belongs) for name, key in zip(side.names, side.keys.tolist(), strict=True))


def _images(batch: Sequence[Pair]) -> Iterator[tuple[Inputs, _Named]]:
    """All images with their inputs. To a negative no text belongs."""
    for pair in batch:
        yield from zip(pair.images.inputs, _named(pair.images, pair.texts.keys), strict=True)
        yield from zip(pair.negatives.inputs, _named(pair.negatives, pair.texts.keys[:0]), strict=True)


def _assembled(alike: Tensor, parts: Sequence[Mapping[str, Any]]) -> Compared:
    """alike: float32 [images, texts], in the order of the parts."""
    texts = [_Named(*each) for part in parts for each in part["texts"]]
    images = [_Named(*each) for part in parts for each in part["images"]]
    place_of_text = _first_places(texts)
    # Ranks know nothing of each other's images: those of several are there several times.
    columns = list(_first_places(images).values())
    images = [images[column] for column in columns]
    place_of_image = _first_places(images)
    starts = [0, *accumulate(len(part["texts"]) for part in parts)]
    return Compared(
        alike=alike[columns].T,
        known=belonging.known(_keys(texts), _keys(images), _belonging(images), _belonging(texts)),
        text_names=[each.name for each in texts],
        image_names=[each.name for each in images],
        distinct=torch.tensor(list(place_of_text.values())),
        examples=[
            HeldOut(name, start + text, place_of_image[image], [place_of_image[each] for each in negatives])
            for part, start in zip(parts, starts, strict=False)
            for name, text, image, negatives in part["examples"]
        ],
    )


def _first_places(named: Sequence[_Named]) -> dict[int, int]:
    places: dict[int, int] = {}
    for place, each in enumerate(named):
        places.setdefault(each.key, place)
    return places


def _keys(named: Sequence[_Named]) -> Tensor:
    return torch.tensor([each.key for each in named], dtype=torch.int64)


def _belonging(named: Sequence[_Named]) -> Tensor:
    return pad_sequence([torch.tensor(each.belongs, dtype=torch.int64) for each in named], batch_first=True)
