"""Losses that compare all examples of a step with each other, over the passes and ranks it is split into.

Each rank computes the loss of the whole step from all embeddings, and its gradient by its own ones; what the
ranks then add up is the gradient of one process. With several passes the embeddings are made twice: without a
gradient, to know the loss, and pass by pass to carry its gradient back (GradCache, Gao et al. 2021,
arXiv:2101.06983). So a step takes the memory of one pass, and what it learns depends on neither number.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from visiontune_worker.objectives.joining import along_first

# By name: floats are embeddings, the others say what belongs together. The first axis of each counts
# something of its own; the other axes may differ between passes and are filled up by zeros.
Embeddings = Mapping[str, Tensor]


def backward(
    embed: Callable[[int], Embeddings],
    passes: int,
    loss: Callable[[Embeddings], Tensor],
    *,
    own: Sequence[torch.nn.Parameter],
    gather: Callable[[Embeddings], tuple[Embeddings, Mapping[str, int]]],
    leads: bool,
    scaled: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Tensor:
    """Leaves in `.grad` what this rank adds to the gradient of a step's loss; returns what it adds to that.

    embed: the embeddings of a pass of this rank by its number; asked again it gives the same. loss: float
    scalar of all embeddings of the step. own: parameters that `loss` uses itself. gather: what all ranks
    have, one rank's behind the other's, and where this rank's begins. leads: true for the one rank that
    counts the loss and the gradients of `own`, which all ranks find alike. scaled: see Objective.backward.
    """
    with torch.set_grad_enabled(passes == 1):
        made = [embed(number) for number in range(passes)]
    whole, starts = gather({name: each.detach() for name, each in along_first(made).items()})
    leaves = {name: each.requires_grad_() for name, each in whole.items() if each.is_floating_point()}
    value = loss(whole)
    trained = [each for each in own if each.requires_grad]
    found = torch.autograd.grad(scaled(value), [*leaves.values(), *trained])
    gradients = dict(zip(leaves, found, strict=False))
    if leads:
        for parameter, gradient in zip(trained, found[len(leaves) :], strict=True):
            parameter.grad = gradient
    for number in range(passes):
        again = made[0] if passes == 1 else embed(number)
        # A pass may lack some, as negatives, and what is frozen needs no gradient.
        embedded = [name for name in gradients if name in again and again[name].requires_grad]
        parts = [_part(gradients[name], starts[name], again[name].shape) for name in embedded]
        torch.autograd.backward([again[name] for name in embedded], parts)
        starts = {**starts, **{name: starts[name] + len(each) for name, each in again.items()}}
    return value.detach() if leads else torch.zeros_like(value)


def _part(whole: Tensor, start: int, shape: torch.Size) -> Tensor:
    """Of what passes were joined to, the rows of one from `start`, without what it was filled up by."""
    return whole[start : start + shape[0]][(slice(None), *map(slice, shape[1:]))]
