"""Puts tensors of several examples together, whatever a family's processor calls them."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

# What inputs are padded with, where it is not zeros: Phi-4's crops that are none count as seen, as its
# processor has it.
FILLS: Mapping[str, int] = {"image_attention_mask": 1}


def along_text(rows: Sequence[Tensor], *, fill: int = 0, left: bool = False) -> Tensor:
    """[batch, longest] of rows [length], padded on the right, or on the left."""
    side = "left" if left else "right"
    return pad_sequence(list(rows), batch_first=True, padding_value=fill, padding_side=side)


def mask(lengths: Sequence[int], *, left: bool = False) -> Tensor:
    """int64 [batch, longest], 1 where something stands."""
    ones = (torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]).long()
    return ones.flip(1) if left else ones


def along_first(inputs: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Inputs of the vision tower, one example's behind the other's; examples without one are skipped.

    All axes but the first are padded to the longest, as processors do with tiles of a picture; where a family
    has images or patches on the first axis, nothing has to be padded.
    """
    found: dict[str, list[Tensor]] = {}
    for each in inputs:
        for name, tensor in each.items():
            found.setdefault(name, []).append(tensor)
    return {name: torch.cat(_alike(tensors, FILLS.get(name, 0))) for name, tensors in found.items()}


def _alike(tensors: list[Tensor], fill: int) -> list[Tensor]:
    shapes = {each.shape[1:] for each in tensors}
    if len(shapes) == 1:
        return tensors
    longest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    return [functional.pad(each, _room(each.shape[1:], longest), value=fill) for each in tensors]


def _room(shape: Sequence[int], longest: Sequence[int]) -> list[int]:
    """What `pad` takes: before and after, from the last axis to the second."""
    pairs = [(0, most - size) for size, most in zip(shape, longest, strict=True)]
    return [number for pair in reversed(pairs) for number in pair]
