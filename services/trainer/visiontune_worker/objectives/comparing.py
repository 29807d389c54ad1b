"""What the objectives have in common that compare every text of a step with every image of it."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built
from visiontune_worker.objectives import belonging, coupling, objective, pairs
from visiontune_worker.objectives.compared import Compared, HeldOut, compare
from visiontune_worker.objectives.coupling import Embeddings
from visiontune_worker.objectives.objective import Batch, Change, Inputs, Loss, ModelInput, Result, Scaled
from visiontune_worker.objectives.pairs import IMAGE, NEGATIVE, TEXT, Pair, of
from visiontune_worker.shards import Example


@dataclass(frozen=True, slots=True)
class Ahead:
    """Likenesses of given negatives: float [negatives], of their query's right image and of themselves."""

    right: Tensor
    wrong: Tensor


class Comparing(objective.Objective[Pair, Batch]):
    """An objective of pairs. How each side is embedded, how two compare and what is lost is up to each."""

    def __init__(self, built: Built, spec: Spec) -> None:
        numbers = spec.hyperparameters
        self.built = built
        self.max_length = numbers.max_length or 2048
        self.seed = numbers.seed or 0
        self._step_size = (numbers.batch_size or 1) * (numbers.gradient_accumulation_steps or 1)

    @abstractmethod
    def of_texts(self, texts: Sequence[str]) -> Iterable[Inputs]:
        """The model's inputs of each text."""

    @abstractmethod
    def of_images(self, images: Sequence[Image]) -> Iterable[Inputs]:
        """The model's inputs of each image."""

    @abstractmethod
    def shown(self, pair: Pair) -> tuple[str, str]:
        """What is asked of a held-out example, and what would be right."""

    @abstractmethod
    def texts(self, inputs: Inputs) -> Embeddings:
        """Embeddings of texts, float32; on the first axis of each tensor texts."""

    @abstractmethod
    def images(self, inputs: Inputs) -> Embeddings:
        """Embeddings of images, likewise."""

    @abstractmethod
    def alike(self, texts: Embeddings, images: Embeddings) -> Tensor:
        """Likeness of each text and each image: float32 [texts, images]."""

    @abstractmethod
    def pair_loss(self, alike: Tensor, known: Tensor, ahead: Ahead | None) -> Tensor:
        """The mean loss of pairs: float32 scalar.

        alike: float [pairs, pairs], texts in rows. known: what belongs together, bool of the same shape, see
        `belonging`. ahead: the given negatives of all pairs; None when there are none.
        """

    @abstractmethod
    def own_parameters(self) -> Sequence[torch.nn.Parameter]:
        """Parameters that `pair_loss` uses."""

    @abstractmethod
    def metrics(self, found: Compared) -> Mapping[str, float]:
        """What is measured on held-out examples, besides the loss."""

    @abstractmethod
    def answer(self, found: Compared, example: HeldOut) -> str:
        """What the model finds for a held-out example."""

    def encode(self, examples: Sequence[Example], change: Change | None = None) -> list[Pair]:
        """Texts and images of each example. See Objective."""
        encoded = pairs.encode(
            examples,
            change,
            of_texts=self.of_texts,
            of_images=self.of_images,
            longest=self.longest if self.checks_length else None,
            special=self.built.tokenizer.all_special_tokens,
        )
        shown = [self.shown(each) for each in encoded]
        return [
            replace(each, prompt=prompt, expected=expected)
            for each, (prompt, expected) in zip(encoded, shown, strict=True)
        ]

    def seen(self, encoded: Pair, epoch: int) -> Pair:
        """Of several texts or images one, which is another in another epoch."""
        return encoded.seen(self.seed, epoch)

    def model_inputs(self, encoded: Pair) -> Sequence[ModelInput]:
        """Its texts, its images and its negatives."""
        return pairs.model_inputs(encoded)

    def collate(self, encoded: Sequence[Pair]) -> Batch:
        """One text and one image of each, and all negatives."""
        return pairs.collate(encoded)

    def loss(self, model: torch.nn.Module, batch: Batch) -> Loss:
        """The loss of a pass by itself."""
        return Loss(self._step_loss(self._embedded(batch.inputs)) * batch.weight, {})

    def backward(
        self, built: Built, batches: Sequence[Batch], weight: int, scaled: Scaled = lambda loss: loss
    ) -> Tensor:
        """A rank's part of the gradient and of the loss of a step, of which all pairs are compared."""
        draws = torch.initial_seed()

        def embed(number: int) -> Embeddings:
            torch.manual_seed((draws + number) % 2**63)  # dropout draws the same when it is asked again
            batch = batches[number].to(built.device)
            with built.autocast():
                return self._embedded(batch.inputs)

        return coupling.backward(
            embed,
            len(batches),
            self._step_loss,
            own=self.own_parameters(),
            gather=self.ranks.gather,
            leads=self.ranks.leads,
            scaled=scaled,
        )

    def measure(self, model: torch.nn.Module, batches: Iterable[Sequence[Pair]]) -> Mapping[str, Any]:
        """Compares all held-out texts with all held-out images; each rank finds the whole."""
        found = compare(
            batches,
            self.ranks,
            texts=lambda inputs: self.texts(self._moved(inputs)),
            images=lambda inputs: self.images(self._moved(inputs)),
            alike=self._ranking,
        )
        metrics = {"loss": self._mean_loss(found), **self.metrics(found)}
        return {
            "metrics": metrics,
            "answers": {each.name: self.answer(found, each) for each in found.examples},
        }

    def result(self, parts: Sequence[Mapping[str, Any]]) -> Result:
        """What each of them found."""
        return Result(**parts[0])

    def _mean_loss(self, found: Compared) -> float:
        """The mean loss, of as many examples at a time as a step of the training has."""
        summed = 0.0
        for block in found.blocks(self._step_size):
            texts, images = [each.text for each in block], [each.image for each in block]
            alike = found.alike[texts]
            negatives = [(row, place) for row, each in enumerate(block) for place in each.negatives]
            rows, places = [row for row, _ in negatives], [place for _, place in negatives]
            ahead = Ahead(alike[rows, [images[row] for row in rows]], alike[rows, places]) if rows else None
            loss = self.pair_loss(alike[:, images], found.known[texts][:, images], ahead)
            summed += len(block) * loss.item()
        return summed / max(1, len(found.examples))

    def _ranking(self, texts: Embeddings, images: Embeddings) -> Tensor:
        """Likenesses in float32, whatever the passes are in: what is close would change places."""
        with torch.autocast(self.built.device.type, enabled=False):
            return self.alike(texts, images)

    def _moved(self, inputs: Inputs) -> Inputs:
        return {name: each.to(self.built.device) for name, each in inputs.items()}

    def _embedded(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of a batch's inputs the embeddings of each side, and what says what belongs together."""
        negatives = of(NEGATIVE, inputs)
        return {
            **_labelled(TEXT, self.texts(of(TEXT, inputs))),
            **_labelled(IMAGE, self.images(of(IMAGE, inputs))),
            **(_labelled(NEGATIVE, self.images(negatives)) if negatives else {}),
            **{name: each for name, each in inputs.items() if "." not in name},
        }

    def _step_loss(self, whole: Embeddings) -> Tensor:
        texts, negatives = of(TEXT, whole), of(NEGATIVE, whole)
        alike = self.alike(texts, of(IMAGE, whole))
        known = belonging.known(whole["texts"], whole["images"], whole["texts_of"], whole["images_of"])
        if not negatives:
            return self.pair_loss(alike, known, None)
        owners = (whole["rows"][:, None] == whole["negative_rows"][None, :]).int().argmax(dim=0)
        wrong = self.alike(texts, negatives)[owners, torch.arange(len(owners), device=alike.device)]
        return self.pair_loss(alike, known, Ahead(alike.diagonal()[owners], wrong))


def numbered(names: Sequence[str]) -> str:
    """In one line, the likest first."""
    return "; ".join(f"{place}. {name}" for place, name in enumerate(names, start=1))


def _labelled(label: str, embeddings: Embeddings) -> dict[str, Tensor]:
    return {f"{label}.{name}": each for name, each in embeddings.items()}
