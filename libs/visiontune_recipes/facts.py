"""What has to be known about a dataset version and a base model before a job can be resolved or checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What an example can train; named as in visiontune.dataset.v1.ExampleKind without the prefix."""

    CHAT_WITH_IMAGES = "CHAT_WITH_IMAGES"
    CHAT = "CHAT"
    CAPTIONED_IMAGE = "CAPTIONED_IMAGE"
    CHAT_WITH_VIDEO = "CHAT_WITH_VIDEO"
    RETRIEVAL = "RETRIEVAL"
    PREFERENCE = "PREFERENCE"


class Sense(StrEnum):
    """What a text says that a changed picture can belie; as in visiontune.dataset.v1.TextSense.Sense."""

    HORIZONTAL = "HORIZONTAL"
    VERTICAL = "VERTICAL"
    TURNING = "TURNING"
    READING = "READING"
    COLOUR = "COLOUR"


@dataclass(frozen=True, slots=True)
class SenseCount:
    """How many examples have words of a sense, and the words: the most frequent first."""

    example_count: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """How a number is spread over examples or images."""

    mean: float
    median: float
    p95: float  # by a histogram: an upper bound
    max: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the examples of a version are, and how large its images."""

    text_tokens: Span  # of an example, estimated without a tokenizer
    images: Span  # of an example
    width_px: Span
    height_px: Span
    # Of text_tokens, those of what the assistant says. None: the version is older than that statistic.
    answer_tokens: Span | None = None


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A dataset version, as far as a recipe depends on it."""

    kinds: frozenset[Kind]
    split_counts: Mapping[str, int] = field(default_factory=dict)
    # Senses of which no example has a word are absent. None: the texts were not looked at.
    senses: Mapping[Sense, SenseCount] | None = None
    most_messages: int = 0  # of an example; 0 while nothing is known
    lengths: Lengths | None = None  # None: the version is older than its statistics of tokens

    @property
    def train_count(self) -> int:
        """Examples in the training split."""
        return self.split_counts.get("train", 0)

    @property
    def validation_count(self) -> int:
        """Examples in the validation split."""
        return self.split_counts.get("validation", 0)

    @property
    def has_images(self) -> bool:
        """False when all examples are of text alone; True also while nothing is known."""
        return self.kinds != {Kind.CHAT}
