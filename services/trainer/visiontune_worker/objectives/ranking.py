"""How well scores rank what was sought: hit rates and nDCG, for any number of right candidates a query."""

import torch
from torch import Tensor

# Rows sorted at a time: sorting holds a copy of them with int64 places.
ROWS = 256


def ranked(scores: Tensor, right: Tensor, most: int) -> Tensor:
    """Whether the first candidates of each query are right: bool [queries, at most `most`], the best first.

    scores: float [queries, candidates]. right: bool of the same shape. Among equal scores the wrong ones come
    first, so that a model to which all candidates look alike finds nothing.
    """
    most = min(most, scores.shape[1])
    return torch.cat(
        [
            _ranked(part, of, most)
            for part, of in zip(torch.split(scores, ROWS), torch.split(right, ROWS), strict=True)
        ]
    )


def _ranked(scores: Tensor, right: Tensor, most: int) -> Tensor:
    wrong_first = right.int().argsort(dim=1, stable=True)
    order = scores.gather(1, wrong_first).argsort(dim=1, descending=True, stable=True)[:, :most]
    return right.gather(1, wrong_first.gather(1, order))


def recall(found: Tensor, k: int) -> float:
    """Share of queries with a right candidate among the first k. found: what `ranked` gave.

    With one right candidate a query this is recall; with several it is what papers on CLIP call recall.
    """
    return found[:, :k].any(dim=1).double().mean().item()


def ndcg(found: Tensor, right_counts: Tensor, k: int) -> float:
    """Mean normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002).

    found: what `ranked` gave. right_counts: int64 [queries], right candidates of each query, at least 1.
    A right candidate at place i, from 1, gains 1 / log2(i + 1); the best order possible gains 1.
    """
    found = found[:, :k].double()
    discounts = 1 / torch.arange(2, k + 2, dtype=torch.float64, device=found.device).log2()
    gained = (found * discounts[: found.shape[1]]).sum(dim=1)
    return (gained / discounts.cumsum(0)[right_counts.clamp(1, k) - 1]).mean().item()
