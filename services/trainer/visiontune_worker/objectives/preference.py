"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290): chosen answers over others."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built
from visiontune_worker.faults import DataFault
from visiontune_worker.objectives import causal_lm, objective
from visiontune_worker.objectives.causal_lm import Batch, CausalLM, predicted
from visiontune_worker.objectives.conversations import up_to_last_answer
from visiontune_worker.objectives.objective import Change, InputKind, Loss, ModelInput, Result
from visiontune_worker.shards import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded(objective.Encoded):
    """A conversation up to its last answer, once with each answer; pictures are in both."""

    chosen: causal_lm.Encoded
    rejected: causal_lm.Encoded

    @property
    def length(self) -> int:
        """Tokens of the longer one."""
        return max(self.chosen.length, self.rejected.length)

    @property
    def size_bytes(self) -> int:
        """Memory that it holds: both hold the same pictures."""
        return self.chosen.size_bytes + sum(each.nbytes for each in self.rejected.text.values())


# What peft begins with zeros; beside embeddings it is the first factor.
_ZERO_FACTORS = (".lora_B.", ".lora_embedding_A.")


def preference_loss(margins: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The loss of each pair, float32 [pairs].

    margins: β · ((log π(chosen) − log π_ref(chosen)) − (log π(rejected) − log π_ref(rejected))).
    label_smoothing: share of pairs of which the rejected answer is taken to be the better one.
    """
    better, worse = functional.logsigmoid(margins), functional.logsigmoid(-margins)
    return -(1 - label_smoothing) * better - label_smoothing * worse


class Preference(objective.Objective[Encoded, Batch]):
    """The objective of pairs. Make it before anything is trained: its reference is the model of then."""

    def __init__(self, built: Built, spec: Spec) -> None:
        self._built = built
        given = spec.preference
        self._beta = given.beta if given and given.beta else 0.1
        self._label_smoothing = given.label_smoothing or 0.0 if given else 0.0
        self._answers = CausalLM(built, spec)
        # An adapter that changes nothing yet can be switched off; else the start has to be kept.
        self._start = None if _changes_nothing(built) else _frozen(built.model)

    @property
    def longest(self) -> int:
        """Tokens of a conversation with either answer, at most."""
        return self._answers.longest

    def encode(self, examples: Sequence[Example], change: Change | None = None) -> list[Encoded]:
        """Both answers of each example. See Objective."""
        self._answers.checks_length = self.checks_length
        chosen = self._answers.encode(examples, change)
        rejected = self._answers.encode([_with_rejected(each) for each in examples], change)
        return [
            Encoded(
                name=won.name,
                text=won.text,
                vision=won.vision,
                prompt=won.prompt,
                expected=won.expected,
                chosen=won,
                rejected=replace(lost, vision=won.vision),
            )
            for won, lost in zip(chosen, rejected, strict=True)
        ]

    def model_inputs(self, encoded: Encoded) -> Sequence[ModelInput]:
        """The conversation with either answer, of which the last one is trained on."""
        answers = {InputKind.CHOSEN: encoded.chosen, InputKind.REJECTED: encoded.rejected}
        return [
            causal_lm.model_input(kind, each, each.trained & (torch.arange(each.length) >= each.answer_start))
            for kind, each in answers.items()
        ]

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """The chosen ones, then the rejected ones in their order; weight is the number of pairs.

        Padded on the right. trained: True on the last answers and their stop tokens.
        """
        both = [*(each.chosen for each in encoded), *(each.rejected for each in encoded)]
        made = causal_lm.collate(both, self._built.pad_id)
        places = torch.arange(made.trained.shape[1])
        starts = torch.tensor([each.answer_start for each in both])
        return replace(
            made,
            weight=len(encoded),
            examples=len(encoded),
            encoded=encoded,
            trained=made.trained & (places[None, :] >= starts[:, None]),
        )

    def loss(self, model: torch.nn.Module, batch: Batch) -> Loss:
        """The pairs' losses summed; in `preferred` the pairs whose chosen answer gained on the other."""
        with torch.no_grad(), self._reference() as reference:
            before = log_probabilities(reference, batch)
        gained = self._beta * (log_probabilities(model, batch) - before)
        margins = gained[: batch.weight] - gained[batch.weight :]
        losses = preference_loss(margins, label_smoothing=self._label_smoothing)
        margins = margins.detach()
        return Loss(losses.sum(), {"preferred": (margins > 0).sum(), "margin": margins.sum()})

    def measure(self, model: torch.nn.Module, batches: Iterable[Sequence[Encoded]]) -> Mapping[str, Any]:
        """Loss and margin of held-out pairs, and what the model answers by itself."""
        summed, margin, preferred, pairs = 0.0, 0.0, 0, 0
        answers: dict[str, str] = {}
        for examples in batches:
            batch = self.collate(examples)
            found = self.loss(model, batch.to(self._built.device))
            summed, margin = summed + found.summed.item(), margin + found.counts["margin"].item()
            preferred, pairs = preferred + int(found.counts["preferred"]), pairs + batch.weight
            chosen = [each.chosen for each in examples]
            said = self._answers.generate(model, chosen)
            answers |= {each.name: answer for each, answer in zip(chosen, said, strict=True)}
        return {"loss": summed, "margin": margin, "preferred": preferred, "pairs": pairs, "answers": answers}

    def result(self, parts: Sequence[Mapping[str, Any]]) -> Result:
        """Means over all pairs."""
        pairs = max(1, sum(each["pairs"] for each in parts))
        metrics = {
            "loss": sum(each["loss"] for each in parts) / pairs,
            "reward_margin": sum(each["margin"] for each in parts) / pairs,
            "preference_accuracy": sum(each["preferred"] for each in parts) / pairs,
        }
        return Result(metrics, {name: answer for each in parts for name, answer in each["answers"].items()})

    def _reference(self) -> AbstractContextManager[torch.nn.Module]:
        """The model that the training started from."""
        if self._start is not None:
            return nullcontext(self._start)
        return _without_adapter(self._built)


def log_probabilities(model: Any, batch: Batch) -> Tensor:
    """Log-probability of each row's trained tokens together: float32 [rows]."""
    found = -functional.cross_entropy(*predicted(model, batch), reduction="none")
    rows = batch.trained[:, 1:].nonzero()[:, 0]
    return found.new_zeros(len(batch.trained)).index_add(0, rows, found)


def _changes_nothing(built: Built) -> bool:
    """True when all that trains is an adapter that leaves the model as it is: one of its factors is 0."""
    weights = built.model.named_parameters()
    return built.peft is not None and not any(
        weight.any() for name, weight in weights if any(factor in name for factor in _ZERO_FACTORS)
    )


def _frozen(model: torch.nn.Module) -> torch.nn.Module:
    return copy.deepcopy(model).eval().requires_grad_(False)


@contextmanager
def _without_adapter(built: Built) -> Iterator[Any]:
    assert built.peft is not None  # noqa: S101 - see _changes_nothing
    with built.peft.disable_adapter():
        yield built.model


def _with_rejected(example: Example) -> Example:
    """The example with the rejected answer in the place of the last one."""
    if not example.texts:
        raise DataFault(
            "NO_PAIR", f"Example {example.id!r} has no rejected answer to compare its answer with."
        )
    rejected = {"role": "assistant", "content": [{"type": "text", "text": example.texts[0]}]}
    earlier = [dict(each) for each in up_to_last_answer(example)[:-1]]
    return replace(example, messages=[*earlier, rejected])
