"""Next-token cross-entropy on what the assistant says, stop tokens included, and on nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from visiontune_recipes.spec import Batching, Spec

from visiontune_worker.build import Built
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.objectives import answers, objective, packing
from visiontune_worker.objectives.conversations import (
    Messages,
    Rendered,
    Renderer,
    prompt_of,
    refuse_special_tokens,
    text_of,
    up_to_last_answer,
)
from visiontune_worker.objectives.joining import along_first, along_text, mask
from visiontune_worker.objectives.objective import Change, InputKind, Loss, ModelInput, Result, too_long
from visiontune_worker.shards import Example

# Share by which the loss of packed examples may differ from theirs alone.
LEAK, LEAK_BF16 = 1e-4, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded(objective.Encoded):
    """trained: bool [length], True on the assistant's tokens. answer_start: where the last answer begins.

    references: what the last answer is compared with.
    """

    trained: Tensor
    answer_start: int
    references: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(objective.Batch):
    """Padded on the right; weight is the number of trained tokens. trained: bool [batch, length]."""

    trained: Tensor


class CausalLM(objective.Objective[Encoded, Batch]):
    """The objective of models that answer in text."""

    def __init__(self, built: Built, spec: Spec) -> None:
        self._built = built
        self._longest = spec.hyperparameters.max_length or 2048
        self._max_new_tokens = spec.evaluation.max_new_tokens or 32
        self._packs = spec.batching is Batching.PACKED
        self._evaluation = spec.evaluation
        self._renderer = Renderer(built.processor, built.family, built.stop_ids)
        self._special = built.tokenizer.all_special_tokens

    @property
    def longest(self) -> int:
        """Tokens of a conversation, at most."""
        return self._longest

    def encode(self, examples: Sequence[Example], change: Change | None = None) -> list[Encoded]:
        """Token ids and pixels, by a processor whose template marks the answers. See Objective."""
        conversations = [up_to_last_answer(each) for each in examples]
        for example, messages in zip(examples, conversations, strict=True):
            texts = [part["text"] or "" for message in messages for part in message["content"] or ()]
            refuse_special_tokens(example, texts, self._special)
        rendered = self._renderer.render(examples, conversations, change)
        return [self._encoded(*each) for each in zip(examples, conversations, rendered, strict=True)]

    def model_inputs(self, encoded: Encoded) -> Sequence[ModelInput]:
        """The conversation with all its pictures."""
        return [model_input(InputKind.CONVERSATION, encoded, encoded.trained)]

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """A batch padded on the right, or packed where the spec asks for it."""
        return packed(encoded, self._built.model) if self._packs else collate(encoded, self._built.pad_id)

    def loss(self, model: torch.nn.Module, batch: Batch) -> Loss:
        """Cross-entropy summed over the trained tokens, and how many were the likeliest."""
        with self._built.given_to_model(batch.inputs) as inputs:
            return loss(model, replace(batch, inputs=inputs))

    def refuse_leaks(self, encoded: Sequence[Encoded]) -> None:
        """ConfigurationFault when the model's examples, packed, are not as they are alone."""
        model = self._built.model
        model.eval()  # Dropout would tell them apart.
        with torch.no_grad():
            alone, together = (
                sum(float(self.loss(model, batch.to(self._built.device)).summed) for batch in batches)
                for batches in (
                    [collate([each], self._built.pad_id) for each in encoded],
                    [packed(encoded, model)],
                )
            )
        precise = all(each.dtype == torch.float32 for each in model.parameters())
        if abs(together - alone) > (LEAK if precise else LEAK_BF16) * max(1.0, abs(alone)):
            raise ConfigurationFault(
                "PACKING_LEAKS",
                f"Packed, the model's examples see each other: their loss is {together:.4f}, and {alone:.4f} "
                "when each is alone. Set loading.batching to BATCHING_LENGTH_GROUPED.",
            )

    def measure(self, model: torch.nn.Module, batches: Iterable[Sequence[Encoded]]) -> Mapping[str, Any]:
        """Loss and token accuracy with the answer given, scores of what is generated greedily without it."""
        summed, right, tokens, long = 0.0, 0, 0, 0
        scores = dict.fromkeys(answers.SCORES, 0.0)
        said: dict[str, str] = {}
        for examples in batches:
            batch = collate(examples, self._built.pad_id)
            found = self.loss(model, batch.to(self._built.device))
            summed, right = summed + found.summed.item(), right + int(found.counts["right"])
            tokens += batch.weight
            for each, answer in zip(examples, self.generate(model, examples), strict=True):
                said[each.name] = answer
                long += answers.is_long(each.expected)
                for name, score in answers.SCORES.items():
                    scores[name] += score(answer, each.expected, each.references)
        sums = {"loss": summed, "right": right, "tokens": tokens, "long": long}
        return {**sums, "scores": scores, "answers": said}

    def result(self, parts: Sequence[Mapping[str, Any]]) -> Result:
        """Means over all tokens and all answers, by the scores that suit these where the job names none."""
        said = {name: answer for each in parts for name, answer in each["answers"].items()}
        tokens, long = (sum(each[name] for each in parts) for name in ("tokens", "long"))
        suiting = answers.suiting(long, len(said))
        chosen = answers.SCORES if self._evaluation.metrics else {*suiting, self._evaluation.judged_by}
        metrics = {
            "loss": sum(each["loss"] for each in parts) / max(1, tokens),
            "token_accuracy": sum(each["right"] for each in parts) / max(1, tokens),
            **{
                name: sum(each["scores"][name] for each in parts) / max(1, len(said))
                for name in answers.SCORES
                if name in chosen
            },
        }
        return Result(metrics, said)

    def generate(self, model: Any, examples: Sequence[Encoded]) -> list[str]:
        """What the model answers by itself where each example's last answer stands."""
        built = self._built
        inputs = {
            name: each.to(built.device) for name, each in collate_prompts(examples, built.pad_id).items()
        }
        with built.given_to_model(inputs) as given:
            generated = model.generate(
                **given,
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                num_beams=1,
                synced_gpus=built.sharded,
                eos_token_id=list(built.stop_ids),
                pad_token_id=built.pad_id,
            )
        said = generated[:, inputs["input_ids"].shape[1] :]
        texts = built.tokenizer.batch_decode(said, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _encoded(self, example: Example, messages: Messages, rendered: Rendered) -> Encoded:
        input_ids, trained = rendered.text["input_ids"], rendered.trained
        self._check(example, input_ids, trained)
        expected = text_of(messages[-1]).strip()
        return Encoded(
            name=example.name,
            text=rendered.text,
            vision=rendered.vision,
            prompt=prompt_of(messages, example.videos),
            expected=expected,
            trained=trained,
            answer_start=_last_run_start(trained),
            references=answers.references_of(example.metadata_json, expected),
        )

    def _check(self, example: Example, input_ids: Tensor, trained: Tensor) -> None:
        if self.checks_length and len(input_ids) > self._longest:
            raise too_long(example, len(input_ids), self._longest)
        if not bool(trained.any()):
            raise ConfigurationFault(
                "TEMPLATE_MARKS_NO_ANSWER",
                f"The chat template marks no answer in example {example.id!r}; it needs {{% generation %}}.",
            )
        last = int(input_ids[trained.nonzero()[-1]])
        if last not in self._built.stop_ids:
            raise ConfigurationFault(
                "TEMPLATE_TRAINS_NO_STOP",
                f"The last trained token of example {example.id!r} is no stop token: answers would not end.",
            )


def model_input(kind: InputKind, encoded: objective.Encoded, trained: Tensor) -> ModelInput:
    """A conversation with all the pictures of its example."""
    return ModelInput(kind, encoded.input_ids, trained, encoded.vision, slice(None))


def collate(examples: Sequence[Encoded], pad_id: int) -> Batch:
    """A batch padded on the right. Without padding it has no mask, which makes attention faster."""
    lengths = [each.length for each in examples]
    trained = along_text([each.trained for each in examples])
    inputs = _inputs(examples, lengths, pad_id, left=False)
    if min(lengths) < max(lengths):
        inputs["attention_mask"] = mask(lengths)
    # The first token is predicted by nothing.
    tokens = int(trained[:, 1:].sum())
    return Batch(
        inputs=inputs,
        weight=tokens,
        padded_tokens=len(examples) * max(lengths),
        examples=len(examples),
        encoded=examples,
        trained=trained,
    )


def packed(examples: Sequence[Encoded], model: Any) -> Batch:
    """A batch of one row without padding; see packing."""
    trained = packing.trained([each.trained for each in examples])
    return Batch(
        inputs=packing.inputs(examples, model),
        weight=int(trained.sum()),
        padded_tokens=trained.shape[1],
        examples=len(examples),
        encoded=examples,
        trained=trained,
    )


def collate_prompts(examples: Sequence[Encoded], pad_id: int) -> dict[str, Tensor]:
    """What precedes the last answers, padded on the left, for generation."""
    lengths = [each.answer_start for each in examples]
    return {
        **_inputs(examples, lengths, pad_id, left=True),
        "attention_mask": mask(lengths, left=True),
    }


def loss(model: torch.nn.Module, batch: Batch) -> Loss:
    """Cross-entropy summed over the trained tokens, and in `right` how many of them were the likeliest."""
    logits, targets = predicted(model, batch)
    right = (logits.detach().argmax(-1) == targets).sum()
    return Loss(functional.cross_entropy(logits, targets, reduction="sum"), {"right": right})


def predicted(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits, float32 [trained tokens, vocabulary], and the trained tokens, row by row.

    Logits are made for the positions before trained tokens only: the vocabulary is often the largest axis.
    """
    before_trained = functional.pad(batch.trained[:, 1:], (0, 1))
    logits = model(**batch.inputs, use_cache=False, logits_to_keep=before_trained).logits.float()
    return logits, batch.inputs["input_ids"][:, 1:][batch.trained[:, 1:]]


def _inputs(
    examples: Sequence[Encoded], lengths: Sequence[int], pad_id: int, *, left: bool
) -> dict[str, Tensor]:
    """The model's inputs of the first so many tokens of each; all but ids are padded with zeros."""
    text = {
        name: along_text(
            [each.text[name][:length] for each, length in zip(examples, lengths, strict=True)],
            fill=pad_id if name == "input_ids" else 0,
            left=left,
        )
        for name in examples[0].text
    }
    return {**text, **along_first(each.vision for each in examples)}


def _last_run_start(trained: Tensor) -> int:
    """Where the last run of True begins."""
    last = int(trained.nonzero()[-1])
    gaps = (~trained[: last + 1]).nonzero()
    return int(gaps[-1]) + 1 if len(gaps) else 0
