"""The losses of pairs of a text and an image, each against all others of the step."""

import torch
from torch import Tensor
from torch.nn import functional


def softmax_loss(logits: Tensor, known: Tensor) -> Tensor:
    """InfoNCE in both directions, the mean over the pairs (CLIP, Radford et al. 2021, arXiv:2103.00020).

    logits: float [pairs, pairs], rows texts and columns images, scaled. known: bool of the same shape, True
    where text and image belong together, as all on the diagonal do; off it they are left out of the sums.
    Returns a float scalar: what `CLIPModel(return_loss=True)` gives where no pair resembles another.
    """
    pairs = torch.arange(len(logits), device=logits.device)
    others = pairs[:, None] != pairs[None, :]
    logits = logits.masked_fill(known & others, -torch.inf)
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


def sigmoid_loss(logits: Tensor, known: Tensor) -> Tensor:
    """Sigmoid loss: sum over texts and images, divided by the pairs (Zhai et al. 2023, arXiv:2303.15343).

    Shapes as in `softmax_loss`; the logits have their bias. What belongs together off the diagonal is left
    out. Returns what `SiglipModel(return_loss=True)` gives where no pair resembles another.
    """
    pairs = torch.arange(len(logits), device=logits.device)
    others = pairs[:, None] != pairs[None, :]
    likelihoods = functional.logsigmoid(torch.where(others, -logits, logits))
    return -likelihoods.masked_fill(known & others, 0.0).sum() / len(logits)
