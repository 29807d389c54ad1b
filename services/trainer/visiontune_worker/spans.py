"""Tokens as text for people to look at: runs of one kind together, those of pictures folded."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, groupby
from typing import Any

# What configs call the tokens in whose places a model puts what it sees.
_NAMES = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
# Of a config, where the tokens are named: itself, or what it holds.
_PARTS = ("vision_config", "vlm_config")


class Kind(StrEnum):
    """What becomes of tokens; as in visiontune.trainer.v1.ModelInput.Span.Kind without the prefix."""

    READ = "READ"
    TRAINED = "TRAINED"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of tokens. text, ids: of a picture those of one of its tokens."""

    kind: Kind
    text: str
    token_count: int
    ids: Sequence[int]


def picture_ids(config: Any) -> frozenset[int]:
    """Ids of the tokens that stand for images and videos, by a model's config."""
    configs = [config, *(getattr(config, part, None) for part in _PARTS)]
    found = (getattr(each, name, None) for each in configs for name in _NAMES)
    return frozenset(each for each in found if isinstance(each, int))


def spans(
    ids: Sequence[int],
    trained: Sequence[bool],
    pictures: Collection[int],
    decode: Callable[[Sequence[int]], str],
    starts: Collection[int] = (),
) -> list[Span]:
    """The tokens as runs of one kind. starts: places at which another run begins, whatever its kind."""
    examples = list(accumulate(place in starts for place in range(len(ids))))

    def run(place: int) -> tuple[Kind, int, int]:
        if ids[place] in pictures:
            return Kind.IMAGE, ids[place], examples[place]
        return (Kind.TRAINED if trained[place] else Kind.READ), -1, examples[place]

    return [_span(ids, list(places), kind, decode) for (kind, *_), places in groupby(range(len(ids)), run)]


def _span(
    ids: Sequence[int], places: Sequence[int], kind: Kind, decode: Callable[[Sequence[int]], str]
) -> Span:
    if kind is Kind.IMAGE:
        one = [ids[places[0]]]
        return Span(kind, decode(one), len(places), one)
    # Behind what precedes them: by themselves some tokenizers decode tokens without their first space.
    before, whole = decode(ids[: places[0]]), decode(ids[: places[-1] + 1])
    own = [ids[place] for place in places]
    return Span(kind, whole[len(before) :] if whole.startswith(before) else decode(own), len(own), own)
