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


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A dataset version, as far as a recipe depends on it."""

    kinds: frozenset[Kind]
    split_counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def train_count(self) -> int:
        """Examples in the training split."""
        return self.split_counts.get("train", 0)

    @property
    def validation_count(self) -> int:
        """Examples in the validation split."""
        return self.split_counts.get("validation", 0)
