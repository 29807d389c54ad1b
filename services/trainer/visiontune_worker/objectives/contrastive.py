"""Pairs of a text and an image, each embedded as one vector and compared with all others of the step.

Of several captions one is drawn for each epoch. Pairs with an equal caption or an equal image are no
negatives of each other. The loss is CLIP's softmax; models with a bias (SigLIP) are made for the sigmoid.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional

from visiontune_worker.objectives import ranking
from visiontune_worker.objectives.compared import Compared, HeldOut
from visiontune_worker.objectives.comparing import Ahead, Comparing, numbered
from visiontune_worker.objectives.contrastive_losses import sigmoid_loss, softmax_loss
from visiontune_worker.objectives.coupling import Embeddings
from visiontune_worker.objectives.objective import Inputs
from visiontune_worker.objectives.pairs import Pair

PLACES = (1, 5, 10)
# As open_clip has it: likenesses are multiplied by 1 at least and 100 at most.
MOST_SCALE = math.log(100)


class Contrastive(Comparing):
    """The objective of models with a vector for each text and each image."""

    @property
    def longest(self) -> int:
        """Tokens of a text, at most; max_length means nothing where all texts are filled up to one length."""
        positions = int(self._head.config.text_config.max_position_embeddings)
        most = min(positions, int(self.built.tokenizer.model_max_length))
        return most if self.built.family.fills_texts else min(most, self.max_length)

    def of_texts(self, texts: Sequence[str]) -> Iterator[Inputs]:
        """Ids of each text; with a mask, where the tokenizer gives one."""
        fill = {"padding": "max_length", "max_length": self.longest} if self.built.family.fills_texts else {}
        found = self.built.tokenizer(list(texts), **fill)
        for row in range(len(texts)):
            yield {name: torch.tensor([rows[row]]) for name, rows in found.items()}

    def of_images(self, images: Sequence[Image]) -> Iterator[Inputs]:
        """Pixels of each image."""
        pixels = self.built.processor.image_processor(images=list(images), return_tensors="pt")[
            "pixel_values"
        ]
        # Copies, so that one that is kept does not keep all.
        return ({"pixel_values": each[None].clone()} for each in pixels)

    def shown(self, pair: Pair) -> tuple[str, str]:
        """The image is asked for its captions."""
        return "<image>", "; ".join(pair.texts.names)

    def texts(self, inputs: Inputs) -> Embeddings:
        """L2-normalised: `vector`, float32 [texts, width]."""
        return {"vector": _vectors(self._head.get_text_features(**inputs).pooler_output)}

    def images(self, inputs: Inputs) -> Embeddings:
        """L2-normalised: `vector`, float32 [images, width]."""
        with self.built.given_to_model(inputs) as given:
            return {"vector": _vectors(self._head.get_image_features(**given).pooler_output)}

    def alike(self, texts: Embeddings, images: Embeddings) -> Tensor:
        """The cosine."""
        return texts["vector"] @ images["vector"].T

    def pair_loss(self, alike: Tensor, known: Tensor, ahead: Ahead | None) -> Tensor:
        """Softmax, or sigmoid where the model has a bias. Captioned images have no given negatives."""
        logits = alike * self._head.logit_scale.exp().to(alike.device)
        bias = getattr(self._head, "logit_bias", None)
        if bias is None:
            return softmax_loss(logits, known)
        return sigmoid_loss(logits + bias.to(alike.device), known)

    def own_parameters(self) -> Sequence[torch.nn.Parameter]:
        """Temperature and bias."""
        found = (getattr(self._head, name, None) for name in ("logit_scale", "logit_bias"))
        return [each for each in found if each is not None]

    def after_step(self) -> None:
        """Keeps the temperature within bounds, which the loss alone would leave."""
        with torch.no_grad():
            self._head.logit_scale.clamp_(0, MOST_SCALE)

    def metrics(self, found: Compared) -> Mapping[str, float]:
        """Recall in both directions, among all different held-out images and captions."""
        directions = {"image_to_text": found.texts_found(), "text_to_image": found.images_found()}
        return {
            f"{direction}_recall_at_{k}": ranking.recall(hits, k)
            for direction, hits in directions.items()
            for k in PLACES
        }

    def answer(self, found: Compared, example: HeldOut) -> str:
        """The captions that the model finds likest to the example's image."""
        return numbered(found.best_texts(example))

    @property
    def _head(self) -> Any:
        """What has the projections: of FLAVA not the model itself, which predicts masked parts, too."""
        return getattr(self.built.model, "flava", self.built.model)


def _vectors(features: Tensor) -> Tensor:
    """Of FLAVA, which projects every token, that of the first, as its own loss does."""
    return functional.normalize((features[:, 0] if features.ndim == 3 else features).float(), dim=-1)
