"""Queries and images as a vector for each token, compared by MaxSim (Faysse et al. 2024, arXiv:2407.01449).

A step compares each query with the images of all, and with the negatives that its example gives. A caption is
a query for its image. See `maxsim` for what a score and the loss are.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from visiontune_worker.objectives import maxsim, ranking
from visiontune_worker.objectives.compared import Compared, HeldOut
from visiontune_worker.objectives.comparing import Ahead, Comparing, numbered
from visiontune_worker.objectives.coupling import Embeddings
from visiontune_worker.objectives.objective import Inputs
from visiontune_worker.objectives.pairs import Pair


class LateInteraction(Comparing):
    """The objective of ColQwen2 and ColPali."""

    @property
    def longest(self) -> int:
        """Tokens of a query or an image, at most."""
        return self.max_length

    def of_texts(self, texts: Sequence[str]) -> Iterator[Inputs]:
        """A query's ids, with the prefix and the pad tokens that the family's queries have."""
        return (dict(self.built.processor.process_queries(text=[each])) for each in texts)

    def of_images(self, images: Sequence[Image]) -> Iterator[Inputs]:
        """An image's pixels, and the ids of its places in the family's prompt."""
        for each in images:
            found = dict(self.built.processor.process_images(images=[each]))
            found.pop("labels", None)
            yield found

    def shown(self, pair: Pair) -> tuple[str, str]:
        """The query is asked for its images."""
        return pair.texts.names[0], "; ".join(pair.images.names)

    def texts(self, inputs: Inputs) -> Embeddings:
        """`tokens`, float32 [queries, longest, width], L2-normalised; `mask`, bool [queries, longest]."""
        return self._embedded_tokens(inputs)

    def images(self, inputs: Inputs) -> Embeddings:
        """The same of images."""
        return self._embedded_tokens(inputs)

    def alike(self, texts: Embeddings, images: Embeddings) -> Tensor:
        """MaxSim, the mean over the query's tokens."""
        return maxsim.maxsim(texts["tokens"], texts["mask"], images["tokens"], images["mask"])

    def pair_loss(self, alike: Tensor, known: Tensor, ahead: Ahead | None) -> Tensor:
        """Each query against all images of the step; with given negatives, half of that and half of those."""
        in_batch = maxsim.in_batch_loss(alike, known)
        return in_batch if ahead is None else (in_batch + maxsim.given_loss(ahead.right, ahead.wrong)) / 2

    def own_parameters(self) -> Sequence[torch.nn.Parameter]:
        """None: the temperature is fixed."""
        return ()

    def metrics(self, found: Compared) -> Mapping[str, float]:
        """How the right images rank among all different held-out ones, negatives among them."""
        hits, right_counts = found.images_found(), found.known.sum(dim=1)
        return {
            **{f"ndcg_at_{k}": ranking.ndcg(hits, right_counts, k) for k in (5, 10)},
            **{f"recall_at_{k}": ranking.recall(hits, k) for k in (1, 5, 10)},
        }

    def answer(self, found: Compared, example: HeldOut) -> str:
        """Names of the images that the model finds likest to the query."""
        return numbered(found.best_images(example))

    def _embedded_tokens(self, inputs: Inputs) -> Embeddings:
        with self.built.given_to_model(inputs) as given:
            tokens = self.built.model(**given, use_cache=False).embeddings
        return {"tokens": tokens.float(), "mask": inputs["attention_mask"].bool()}
