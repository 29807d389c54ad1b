"""Measures a model on held-out examples: what it says when asked, compared with the answer in the data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from visiontune_worker.build import Built
from visiontune_worker.claim import Sample
from visiontune_worker.data import Examples
from visiontune_worker.objectives import causal_lm
from visiontune_worker.objectives.causal_lm import Encoded
from visiontune_worker.order import part
from visiontune_worker.ranks import Ranks

LARGEST_BATCH = 128
# Examples held in memory at a time, in batches.
WINDOW_BATCHES = 8


@dataclass(frozen=True, slots=True)
class Result:
    """metrics: `loss`, `exact_match`, `token_accuracy`. answers: what was generated, by example."""

    metrics: Mapping[str, float]
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a rank found on its part of the held-out examples; sums, so that parts add up."""

    loss: float
    right: int
    tokens: int
    exact: int
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The examples that a model is measured on, always the same ones of a version."""

    examples: Examples
    places: Sequence[tuple[int, int]]

    def batches(self, size: int, ranks: Ranks) -> Iterator[list[Encoded]]:
        """A rank's part, examples of like length together within a window, so that little is padded."""
        ours = self.places[part(len(self.places), ranks.rank, ranks.count)]
        window = WINDOW_BATCHES * size
        for first in range(0, len(ours), window):
            places = ours[first : first + window]
            encoded = sorted(self.examples.at(places), key=lambda each: len(each.input_ids))
            yield from (encoded[start : start + size] for start in range(0, len(encoded), size))


def held_out_places(counts: Sequence[int], most: int | None) -> list[tuple[int, int]]:
    """Places of the validation split in order; when only some are wanted, evenly spread ones."""
    places = [(shard, nth) for shard, count in enumerate(counts) for nth in range(count)]
    if most is None or most >= len(places):
        return places
    return [places[index * len(places) // most] for index in range(most)]


def evaluate(
    built: Built,
    held_out: HeldOut,
    *,
    batch_size: int,
    max_new_tokens: int,
    ranks: Ranks,
    check: Callable[[], None] = lambda: None,
) -> Result:
    """Loss and token accuracy with the answer given, exact match by greedy generation without it.

    Each rank measures its part, and all get the whole. check: called between batches and while waiting for
    the others, may raise to stop. Leaves the model in evaluation mode.
    """
    ours = _measure(built, held_out, batch_size, max_new_tokens, ranks, check)
    return _result([Counts(**each) for each in ranks.exchange(asdict(ours), check)])


def _measure(
    built: Built,
    held_out: HeldOut,
    batch_size: int,
    max_new_tokens: int,
    ranks: Ranks,
    check: Callable[[], None],
) -> Counts:
    built.model.eval()
    size = min(LARGEST_BATCH, 4 * batch_size)
    summed, right, tokens, exact = 0.0, 0, 0, 0
    answers: dict[str, str] = {}
    with torch.inference_mode(), built.autocast():
        for examples in held_out.batches(size, ranks):
            check()
            batch = causal_lm.collate(examples, built.pad_id)
            loss, hits = causal_lm.loss(built.model, batch.to(built.device))
            summed, right, tokens = summed + loss.item(), right + int(hits), tokens + batch.tokens
            for each, answer in zip(examples, _generate(built, examples, max_new_tokens), strict=True):
                answers[each.name] = answer
                exact += answer == each.expected
    return Counts(summed, right, tokens, exact, answers)


def _result(parts: Sequence[Counts]) -> Result:
    answers = {name: answer for each in parts for name, answer in each.answers.items()}
    tokens = max(1, sum(each.tokens for each in parts))
    metrics = {
        "loss": sum(each.loss for each in parts) / tokens,
        "exact_match": sum(each.exact for each in parts) / max(1, len(answers)),
        "token_accuracy": sum(each.right for each in parts) / tokens,
    }
    return Result(metrics, answers)


def samples(
    held_out: HeldOut, count: int, before: Mapping[str, str], after: Mapping[str, str], step: int
) -> list[Sample]:
    """What the model said and says about the first `count` held-out examples."""
    return [
        Sample(
            each.name, each.prompt, each.expected, before.get(each.name, ""), after.get(each.name, ""), step
        )
        for each in held_out.examples.at(held_out.places[:count])
    ]


def _generate(built: Built, examples: Sequence[Encoded], max_new_tokens: int) -> list[str]:
    inputs = {
        name: each.to(built.device)
        for name, each in causal_lm.collate_prompts(examples, built.pad_id).items()
    }
    generated = built.model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        num_beams=1,
        eos_token_id=list(built.stop_ids),
        pad_token_id=built.pad_id,
    )
    answers = generated[:, inputs["input_ids"].shape[1] :]
    texts = built.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
    return [text.strip() for text in texts]
