"""Whether all examples of a version fit into what a model reads: nothing is cut, a longer one ends a job."""

from collections.abc import Sequence
from dataclasses import dataclass

from visiontune_recipes.estimate.pictures import Pictures, Scaled, Whole
from visiontune_recipes.estimate.sizes import Sizes
from visiontune_recipes.facts import DatasetFacts, Kind, Lengths
from visiontune_recipes.families import Family
from visiontune_recipes.objectives import CONTRASTIVE, FLAVA, objective_of
from visiontune_recipes.problem import Problem
from visiontune_recipes.spec import Spec

RULE = "example_too_long"
# Statistics take four bytes for a token; a token of any tokenizer is one byte at least.
_BYTES = 4
# Of a conversation: what a chat template writes around a message, and once, a system message among it.
_AROUND_MESSAGE, _AROUND_ALL = 16, 64
# Of a text or an image by itself: what begins and ends it, or what asks for it.
_AROUND_TEXT = 16
_ROUNDED = 1.1
_OF_VECTORS = (CONTRASTIVE, FLAVA)


@dataclass(frozen=True, slots=True)
class Reach:
    """Tokens of the longest example, or of the longest text or image where these are compared.

    surely: no example has more; None where statistics cannot tell. about: by estimate. longest: those that
    are read.
    """

    surely: int | None
    about: int
    longest: int


@dataclass(frozen=True, slots=True)
class Measured:
    """An example of which tokens were counted, and what of it is past what may be read."""

    name: str
    id: str
    tokens: int
    excess_image_tokens: int
    excess_trained_tokens: int


def reach(sizes: Sizes, facts: DatasetFacts, family: Family, spec: Spec) -> Reach | None:
    """By the statistics of a version; None where it has none. spec: resolved."""
    lengths = facts.lengths
    if lengths is None:
        return None
    objective = objective_of(spec, family)
    positions = spec.hyperparameters.max_length or 0
    if objective in _OF_VECTORS:  # whose images have no tokens, and whose texts have places of their own
        own = sizes.positions or positions
        return _apart(lengths, 0, 0, own if family.fills_texts else min(own, positions))
    image = sizes.tokens_of_image(lengths.width_px.max, lengths.height_px.max) if lengths.images.max else 0
    most = None if Kind.CHAT_WITH_VIDEO in facts.kinds else _most(sizes.pictures, image)
    if objective.couples_examples:
        return _apart(lengths, image, most, positions)
    text, images = int(lengths.text_tokens.max), int(lengths.images.max)
    around = _AROUND_MESSAGE * max(1, facts.most_messages) + _AROUND_ALL
    surely = None if most is None else _BYTES * text + around + images * most
    return Reach(surely, text + images * image, positions)


def _apart(lengths: Lengths, image: int, most: int | None, longest: int) -> Reach:
    """Of texts and images that are read each by itself."""
    text = int(lengths.text_tokens.max)
    surely = None if most is None else max(_BYTES * text + _AROUND_TEXT, most)
    return Reach(surely, max(text, image), longest)


def _most(pictures: Pictures | None, image: int) -> int | None:
    """Tokens that no image exceeds. image: of one as wide as the widest and as high as the highest."""
    if image == 0 or isinstance(pictures, Whole):
        return image
    # Sides are rounded to whole patches; tiles depend on the shape, too, so that another may have more.
    return round(_ROUNDED * image) + _AROUND_TEXT if isinstance(pictures, Scaled) else None


def measured(examples: Sequence[Measured], longest: int, spec: Spec) -> Problem | None:
    """What is wrong with the longest of them, if anything. longest: tokens that are read. spec: resolved."""
    most = max(examples, key=lambda each: each.tokens, default=None)
    if most is None or most.tokens <= longest:
        return None
    lost = [
        f"{count:,} {what}"
        for count, what in (
            (most.excess_image_tokens, "of images"),
            (most.excess_trained_tokens, "of an answer"),
        )
        if count
    ]
    losing = f"; among the {most.tokens - longest:,} past that are {' and '.join(lost)}" if lost else ""
    row = most.name.rpartition("/")[2]
    message = (
        f"Example {most.id!r} (row {row}) has {most.tokens:,} tokens, images included, and {longest:,} are "
        f"read{losing}. Nothing is cut: {_then(spec)}."
    )
    return Problem("hyperparameters.max_length", RULE, message, _remedy(spec, longest, most.tokens))


def estimated(found: Reach, spec: Spec) -> Problem | None:
    """The same of a version whose examples nobody could encode: by their characters and images."""
    longest = found.longest
    if found.about <= longest:
        return None
    message = (
        f"The longest example has about {found.about:,} tokens, images included, and {longest:,} are read. "
        f"That is estimated, since its tokenizer could not be asked. Nothing is cut: {_then(spec)}."
    )
    return Problem("hyperparameters.max_length", RULE, message, _remedy(spec, longest, found.about))


def _then(spec: Spec) -> str:
    return "longer ones are left out" if spec.skips_bad_examples else "the job would end with it"


def _remedy(spec: Spec, longest: int, tokens: int) -> str:
    asked = spec.hyperparameters.max_length or longest
    raised = (
        f"Set it to {tokens} or more; or shorten" if asked <= longest else "The model reads no more: shorten"
    )
    others = "" if spec.skips_bad_examples else ", or set loading.on_bad_example to ON_BAD_EXAMPLE_SKIP"
    return f"{raised} such examples, use fewer or smaller images{others}."
