"""Several examples one after another in one row, none of which sees the others.

What keeps them apart is that positions begin anew with each: transformers derives from that which tokens may
attend to which, if and only if there is neither a mask nor a cache.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visiontune_worker.objectives.joining import along_first
from visiontune_worker.objectives.objective import Encoded


def inputs(examples: Sequence[Encoded], model: Any) -> dict[str, Tensor]:
    """The model's inputs [1, tokens of all], and `position_ids` as its kind of positions needs them."""
    text = {name: torch.cat([each.text[name] for each in examples])[None] for name in examples[0].text}
    return {
        **text,
        **along_first(each.vision for each in examples),
        "position_ids": positions(examples, model),
    }


def trained(marks: Sequence[Tensor]) -> Tensor:
    """Shape [1, tokens of all], bool. The first token of an example is predicted by nothing before it."""
    row = torch.cat(list(marks))
    starts = torch.tensor([0, *(len(each) for each in marks[:-1])]).cumsum(0)
    row[starts] = False
    return row[None]


def positions(examples: Sequence[Encoded], model: Any) -> Tensor:
    """int64 [1, tokens], from 0 for each example.

    [4, 1, tokens] for models that place images in time, height and width: the first row keeps the examples
    apart, the other three are what the model would have computed for each example alone.
    """
    plain = torch.cat([torch.arange(each.length) for each in examples])[None]
    of_images = getattr(getattr(model, "model", None), "get_rope_index", None)
    if of_images is None:
        return plain
    placed = torch.cat([_in_space(each, of_images) for each in examples], dim=-1)
    return torch.cat([plain[None], placed[:, None]])


def _in_space(example: Encoded, of_images: Any) -> Tensor:
    """int64 [3, length]."""
    if not example.vision:
        return torch.arange(example.length).expand(3, -1)
    takes = inspect.signature(of_images).parameters
    grids = {name: each for name, each in example.vision.items() if name in takes}
    text = {name: each[None] for name, each in example.text.items()}
    found, _ = of_images(**text, **grids)
    return torch.as_tensor(found)[:, 0]
