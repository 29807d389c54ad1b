"""Warnings about all examples together: what a model would learn from them beside what was meant."""

from collections.abc import Collection, Iterator
from typing import Final

from visiontune_data.example import Kind
from visiontune_data.report import ARCHIVE, Problem
from visiontune_data.statistics import StatisticsBuilder
from visiontune_data.text import shorten

_FEW_EXAMPLES: Final = 20
_SAME_ANSWER_SHARE: Final = 0.95
_MOST_LABELS: Final = 100
_EXAMPLES_PER_LABEL: Final = 5  # on average; with fewer, answers are sentences rather than labels
_SKEW: Final = 20
# Tokens that models read at most: CLIP's text tower; LLaVA 1.5; then what newer models are trained with.
_CAPTION_CONTEXT: Final = 77
_CHAT_CONTEXTS: Final = (4_096, 8_192, 32_768)
TOKENS_PER_IMAGE: Final = 576  # of LLaVA 1.5: 24 x 24 patches; others take more or fewer


def problems(statistics: StatisticsBuilder, kinds: Collection[str]) -> Iterator[Problem]:
    """What is odd about the examples that were added to `statistics`."""
    if statistics.example_count >= _FEW_EXAMPLES:
        yield from _about_answers(statistics)
    yield from _about_lengths(statistics, kinds)


def _about_answers(statistics: StatisticsBuilder) -> Iterator[Problem]:
    answers, total = statistics.answer_counts, statistics.example_count
    if not answers:
        return
    (most, count), (least, fewest) = answers[0], answers[-1]
    if count > _SAME_ANSWER_SHARE * total:
        message = f'{count:,} of {total:,} examples have the answer "{shorten(most)}"'
        yield Problem("answers-identical", ARCHIVE, message, shorten(most))
    elif len(answers) <= min(_MOST_LABELS, total // _EXAMPLES_PER_LABEL) and count >= _SKEW * fewest:
        message = f'{count:,} examples have the answer "{shorten(most)}", {fewest:,} have "{shorten(least)}"'
        yield Problem("label-skew", ARCHIVE, message, shorten(least))


def _about_lengths(statistics: StatisticsBuilder, kinds: Collection[str]) -> Iterator[Problem]:
    contexts = (_CAPTION_CONTEXT,) if set(kinds) == {Kind.CAPTIONED_IMAGE} else _CHAT_CONTEXTS
    lengths = statistics.context_lengths(0 if contexts == (_CAPTION_CONTEXT,) else TOKENS_PER_IMAGE)
    for context in contexts:
        over = sum(length > context for length in lengths)
        if over:
            message = (
                f"{over:,} of {len(lengths):,} examples take about more than {context:,} tokens; "
                f"the longest about {max(lengths):,}"
            )
            yield Problem("context-length", ARCHIVE, message, f"{context:,}")
