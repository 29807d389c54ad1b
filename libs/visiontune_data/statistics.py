"""Numbers about a version, gathered one example at a time."""

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from visiontune_data.example import Example, text_of
from visiontune_data.senses import SenseCount, SensesBuilder

_BYTES_PER_TOKEN = 4
MOST_BINS = 20
MOST_ANSWERS = 20
COUNTED_ANSWERS = 10_000
LABEL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram; the upper edge is excluded but for the last."""

    lower: float
    upper: float
    count: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """A numeric field over all its values; zeros when there are none."""

    count: int = 0
    min: float = 0
    max: float = 0
    mean: float = 0
    median: float = 0
    histogram: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """What GetStatistics shows of a version."""

    example_count: int
    image_count: int
    image_bytes: int
    split_counts: dict[str, int]
    format_counts: dict[str, int]
    width_px: Distribution
    height_px: Distribution
    text_length: Distribution
    messages_per_example: Distribution
    images_per_example: Distribution
    top_answers: tuple[tuple[str, int], ...]
    distinct_answer_count: int
    duplicate_example_count: int
    # Those below are empty for versions that are older than they.
    token_count: Distribution = Distribution()
    answer_token_count: Distribution = Distribution()
    aspect_ratio: Distribution = Distribution()
    size_bytes: Distribution = Distribution()
    brightness: Distribution = Distribution()
    text_senses: tuple[SenseCount, ...] | None = None  # None: the texts were not looked at


def distribution(values: "array[int] | array[float]") -> Distribution:
    """The distribution of numbers: at most 20 equally wide bins over [min, max], of whole numbers fewer."""
    if not values:
        return Distribution()
    numbers = np.array(values)
    low, high = float(numbers.min()), float(numbers.max())
    bins = int(min(MOST_BINS, high - low + 1)) if values.typecode == "q" else MOST_BINS
    counts, edges = np.histogram(numbers, bins=bins, range=(low, high) if high > low else (low, low + 1))
    bars = (Bin(float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True))
    return Distribution(len(values), low, high, float(numbers.mean()), float(np.median(numbers)), tuple(bars))


@dataclass(slots=True)
class StatisticsBuilder:
    """Gathers; memory grows by a few numbers an example and by distinct answers up to their limit."""

    format_counts: Counter[str] = field(default_factory=Counter)
    image_bytes: int = 0
    duplicate_example_count: int = 0
    _widths: "array[int]" = field(default_factory=lambda: array("q"))
    _heights: "array[int]" = field(default_factory=lambda: array("q"))
    _texts: "array[int]" = field(default_factory=lambda: array("q"))
    _messages: "array[int]" = field(default_factory=lambda: array("q"))
    _images: "array[int]" = field(default_factory=lambda: array("q"))
    _tokens: "array[int]" = field(default_factory=lambda: array("q"))
    _answer_tokens: "array[int]" = field(default_factory=lambda: array("q"))
    _aspects: "array[float]" = field(default_factory=lambda: array("d"))
    _sizes: "array[int]" = field(default_factory=lambda: array("q"))
    _brightness: "array[int]" = field(default_factory=lambda: array("q"))
    _seen: set[str] = field(default_factory=set)
    _answers: Counter[bytes] = field(default_factory=Counter)
    _labels: dict[bytes, str] = field(default_factory=dict)
    _senses: SensesBuilder = field(default_factory=SensesBuilder)

    def add(self, example: Example) -> None:
        """Adds one example of the version."""
        roles = [*("" for _ in example.texts), *(message.role for message in example.messages)]
        texts = [*example.texts, *map(text_of, example.messages)]
        tokens = list(map(estimated_tokens, texts))
        self._texts.append(sum(map(len, texts)))
        self._tokens.append(sum(tokens))
        if example.messages:
            said = [count for role, count in zip(roles, tokens, strict=True) if role in {"", "assistant"}]
            self._answer_tokens.append(sum(said))
        self._messages.append(len(example.messages))
        self._images.append(len(example.images))
        self._add_images(example)
        self._senses.add(text for role, text in zip(roles, texts, strict=True) if role != "system")
        for answer in example.answers:
            self._add_answer(answer)

    def _add_images(self, example: Example) -> None:
        if example.images and all(image.sha256 in self._seen for image in example.images):
            self.duplicate_example_count += 1
        for image in example.all_images:
            if image.sha256 in self._seen:
                continue
            self._seen.add(image.sha256)
            self.image_bytes += image.length
            self.format_counts[image.format] += 1
            self._widths.append(image.width_px)
            self._heights.append(image.height_px)
            self._aspects.append(image.width_px / image.height_px)
            self._sizes.append(image.length)
            self._brightness.append(image.brightness)

    def _add_answer(self, answer: str) -> None:
        key = hashlib.blake2b(answer.encode(), digest_size=16).digest()
        if key in self._answers or len(self._answers) < COUNTED_ANSWERS:
            self._answers[key] += 1
            self._labels.setdefault(key, answer[:LABEL_CHARACTERS])

    @property
    def example_count(self) -> int:
        """Examples added."""
        return len(self._texts)

    @property
    def answer_counts(self) -> list[tuple[str, int]]:
        """Each answer and how many examples have it, most first; COUNTED_ANSWERS of them at most."""
        return [(self._labels[key], count) for key, count in self._answers.most_common()]

    def context_lengths(self, tokens_per_image: int) -> list[int]:
        """About the tokens of each example, its images counted with `tokens_per_image` each."""
        return [
            tokens + images * tokens_per_image
            for tokens, images in zip(self._tokens, self._images, strict=True)
        ]

    def build(self, split_counts: dict[str, int]) -> Statistics:
        """The statistics of all that was added."""
        top = sorted(self._answers.items(), key=lambda entry: (-entry[1], self._labels[entry[0]]))[
            :MOST_ANSWERS
        ]
        return Statistics(
            example_count=len(self._texts),
            image_count=len(self._seen),
            image_bytes=self.image_bytes,
            split_counts=split_counts,
            format_counts=dict(self.format_counts),
            width_px=distribution(self._widths),
            height_px=distribution(self._heights),
            text_length=distribution(self._texts),
            messages_per_example=distribution(self._messages),
            images_per_example=distribution(self._images),
            top_answers=tuple((self._labels[key], count) for key, count in top),
            distinct_answer_count=len(self._answers),
            duplicate_example_count=self.duplicate_example_count,
            token_count=distribution(self._tokens),
            answer_token_count=distribution(self._answer_tokens),
            aspect_ratio=distribution(self._aspects),
            size_bytes=distribution(self._sizes),
            brightness=distribution(self._brightness),
            text_senses=self._senses.build(),
        )


def estimated_tokens(text: str) -> int:
    """About the tokens of a text, without a tokenizer: one for four bytes of UTF-8, rounded up."""
    return -(-(len(text) if text.isascii() else len(text.encode())) // _BYTES_PER_TOKEN)
