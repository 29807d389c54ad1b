"""FLAVA: its contrastive loss, and where a job asks for them the losses that it was pre-trained with.

What is masked is drawn by seed, epoch and the example's id, so that resuming and the number of ranks change
nothing. The wrong texts of `itm` are those of other examples of the pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from visiontune_recipes.families.flava import LOSSES
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built
from visiontune_worker.objectives.contrastive import Contrastive
from visiontune_worker.objectives.masking import masked_patches, masked_tokens
from visiontune_worker.objectives.objective import Batch, InputKind, Inputs, ModelInput, Result, Scaled
from visiontune_worker.objectives.pairs import IMAGE, TEXT, Pair, labelled, of

GLOBAL, MMM, ITM, MIM, MLM = LOSSES
MASKED = "masked"
# What is added up, as transformers calls it, by the loss that it belongs to.
TERMS = {"mmm_image": MMM, "mmm_text": MMM, "itm": ITM, "mim": MIM, "mlm": MLM}
_STREAM = 1  # of what is masked, beside what is drawn of the captions


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked(Pair):
    """A pair of which an epoch masks something: see `masking` for `input_ids`, `labels` and `patches`.

    `wrong`: bool [1], whether the image gets another example's text.
    """

    masked: Inputs


class Flava(Contrastive):
    """The losses that a job asks for, added up; the contrastive one alone, unless told otherwise."""

    def __init__(self, built: Built, spec: Spec) -> None:
        super().__init__(built, spec)
        self._asked = frozenset(spec.hyperparameters.losses or (GLOBAL,))
        self._masks = self._asked != {GLOBAL}

    def of_images(self, images: Sequence[Image]) -> Iterator[Inputs]:
        """Pixels of each image; with them, where patches are predicted, what the codebook sees."""
        if not self._masks:
            yield from super().of_images(images)
            return
        processor = self.built.processor.image_processor
        found = processor(images=list(images), return_codebook_pixels=True, return_tensors="pt")
        for row in range(len(images)):
            yield {name: each[row : row + 1].clone() for name, each in found.items()}

    def images(self, inputs: Inputs) -> Mapping[str, Tensor]:
        """L2-normalised: `vector`, float32 [images, width]."""
        return super().images({"pixel_values": inputs["pixel_values"]})

    def seen(self, encoded: Pair, epoch: int) -> Pair:
        """As an epoch sees it: with other tokens and other patches masked."""
        pair = super().seen(encoded, epoch)
        if not self._masks:
            return pair
        rng = np.random.default_rng([self.seed, epoch, pair.draws, _STREAM])
        text = pair.texts.inputs[pair.texts.place]["input_ids"][0]
        masked = {
            **masked_tokens(rng, text, self.built.tokenizer),
            "patches": masked_patches(rng, self.built.processor.image_processor),
            "wrong": torch.tensor([bool(rng.random() < 0.5)]),
        }
        return Masked(**{each.name: getattr(pair, each.name) for each in fields(Pair)}, masked=masked)

    def model_inputs(self, encoded: Pair) -> Sequence[ModelInput]:
        """Beside the pair the text with what is masked of it; what is to be predicted counts as trained."""
        found = list(super().model_inputs(encoded))
        if isinstance(encoded, Masked):
            ids, labels = encoded.masked["input_ids"][0], encoded.masked["labels"][0]
            found.append(ModelInput(InputKind.MASKED_TEXT, ids, labels > 0))
        return found

    def collate(self, encoded: Sequence[Pair]) -> Batch:
        """One text and one image of each, and what is masked of them."""
        batch = super().collate(encoded)
        masked = labelled(MASKED, (each.masked for each in encoded if isinstance(each, Masked)))
        if masked:
            # The next one's text: not where it is the same, and the first pair is always right.
            texts = batch.inputs["texts"]
            masked["masked.wrong"] &= (texts != texts.roll(-1)) & (torch.arange(len(texts)) > 0)
        return replace(batch, inputs={**batch.inputs, **masked})

    def backward(
        self, built: Built, batches: Sequence[Batch], weight: int, scaled: Scaled = lambda loss: loss
    ) -> Tensor:
        """The contrastive loss of the whole step; the others add up over passes and ranks."""
        total = torch.zeros((), device=built.device)
        if GLOBAL in self._asked:
            total += super().backward(built, batches, weight, scaled)
        if not self._masks:
            return total
        counts = [self._counts(batch) for batch in batches]
        every = self.ranks.totals(*(sum(each[name] for each in counts) for name in TERMS))
        shares = {name: 1 / max(1, count) for name, count in zip(TERMS, every, strict=True)}
        for batch, own in zip(batches, counts, strict=True):
            with built.autocast():
                terms = self.terms(batch.to(built.device).inputs, own)
            loss = torch.stack([each * shares[name] for name, each in terms.items()]).sum()
            scaled(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def terms(self, inputs: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
        """Each loss but the contrastive one, summed over what a pass has of it (`counts`): float scalars."""
        masked, images = of(MASKED, inputs), of(IMAGE, inputs)
        labels = masked["labels"].long() - 1
        reads = {
            **of(TEXT, inputs),
            "input_ids_masked": masked["input_ids"],
            "mlm_labels": labels.masked_fill(labels < 0, self.built.model.ce_ignore_index),
        }
        sees = {**images, "bool_masked_pos": masked["patches"]}
        calls = []
        if {MMM, ITM} & self._asked:
            calls.append({**sees, **(self._matched(reads, masked["wrong"]) if ITM in self._asked else reads)})
        calls += [sees] * (MIM in self._asked) + [reads] * (MLM in self._asked)
        means = [self.built.model(**call, return_loss=True).loss_info for call in calls]
        found = {name: each[name] for each in means for name in TERMS if each.get(name) is not None}
        return {name: each.float() * counts[name] for name, each in found.items() if counts[name]}

    def measure(self, model: torch.nn.Module, batches: Iterable[Sequence[Pair]]) -> Mapping[str, Any]:
        """What the contrastive loss measures, and the sums of the others."""
        found = super().measure(model, batches)
        if not self._masks:
            return found
        sums, counts = dict.fromkeys(TERMS, 0.0), dict.fromkeys(TERMS, 0)
        for pairs in batches:
            batch = self.collate(pairs)
            own = self._counts(batch)
            for name, each in self.terms(batch.to(self.built.device).inputs, own).items():
                sums[name], counts[name] = sums[name] + each.item(), counts[name] + own[name]
        return {**found, "sums": sums, "counts": counts}

    def result(self, parts: Sequence[Mapping[str, Any]]) -> Result:
        """Beside recall each of the losses, and what they add up to."""
        found = Result(parts[0]["metrics"], parts[0]["answers"])
        if not self._masks:
            return found
        losses = {
            f"{name}_loss": sum(part["sums"][name] for part in parts) / count
            for name in TERMS
            if (count := sum(part["counts"][name] for part in parts))
        }
        if GLOBAL in self._asked:
            losses["global_loss"] = found.metrics["loss"]
        return Result({**found.metrics, **losses, "loss": sum(losses.values())}, found.answers)

    def _matched(self, reads: Mapping[str, Tensor], wrong: Tensor) -> dict[str, Tensor]:
        """The texts, those of wrong pairs the next one's, and which pairs are right."""
        places = torch.arange(len(wrong), device=wrong.device)
        order = torch.where(wrong, places.roll(-1), places)
        return {**{name: each[order] for name, each in reads.items()}, "itm_labels": (~wrong).long()}

    def _counts(self, batch: Batch) -> dict[str, int]:
        """Of how many patches, tokens or pairs each term of a pass is the mean; 0 where it is not asked."""
        masked = of(MASKED, batch.inputs)
        right = ~masked["wrong"] if ITM in self._asked else torch.ones_like(masked["wrong"])
        patches, tokens = masked["patches"].flatten(1).sum(dim=1), (masked["labels"] > 0).sum(dim=1)
        found = {
            "mmm_image": int(patches[right].sum()),
            "mmm_text": int(tokens[right].sum()),
            "itm": len(right),
            "mim": int(patches.sum()),
            "mlm": int(tokens.sum()),
        }
        return {name: found[name] if loss in self._asked else 0 for name, loss in TERMS.items()}
