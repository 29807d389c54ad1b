"""The losses of pairs of a text and an image, each against all others of the step."""

import torch
from torch import Tensor
from torch.nn import functional


def row_loss(logits: Tensor, known: Tensor) -> Tensor:
    """InfoNCE of each row against all columns: a float scalar, the mean over the rows.

    logits: float [pairs, pairs], scaled. known: bool of the same shape, True where row and column belong
    together, as all on the diagonal do; off it they are left out of the sums.
    """
    pairs = torch.arange(len(logits), device=logits.device)
    return functional.cross_entropy(logits.masked_fill(known & _others(known), -torch.inf), pairs)


def softmax_loss(logits: Tensor, known: Tensor) -> Tensor:
    """InfoNCE in both directions, the mean over the pairs (CLIP, Radford et al. 2021, arXiv:2103.00020).

    Shapes as in `row_loss`, rows texts and columns images.
    Returns a float scalar: what `CLIPModel(return_loss=True)` gives where no pair resembles another.
    """
    return (row_loss(logits, known) + row_loss(logits.T, known.T)) / 2


def sigmoid_loss(logits: Tensor, known: Tensor) -> Tensor:
    """Sigmoid loss: sum over texts and images, divided by the pairs (Zhai et al. 2023, arXiv:2303.15343).

    Shapes as in `softmax_loss`; the logits have their bias. What belongs together off the diagonal is left
    out. Returns what `SiglipModel(return_loss=True)` gives where no pair resembles another.
    """
    others = _others(known)
    likelihoods = functional.logsigmoid(torch.where(others, -logits, logits))
    return -likelihoods.masked_fill(known & others, 0.0).sum() / len(logits)


def _others(known: Tensor) -> Tensor:
    """All but the diagonal."""
    return ~torch.eye(len(known), dtype=torch.bool, device=known.device)
