"""Weights, gradients and optimiser state divided among the ranks, layer by layer, by torch's `fully_shard`.

What a checkpoint holds is whole, so that any number of ranks, sharded or not, goes on from it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from visiontune_worker.build import Built


def shard(built: Built, count: int) -> None:
    """Leaves each of `count` ranks its part of the model, on its device; all call it, with equal weights.

    Each layer of the language model is gathered when it is needed, all else once a pass: a part that one
    rank's pass does not use, such as the tower where there is no image, must not be waited for.
    """
    mesh = init_device_mesh(built.device.type, (count,))
    for layer in _layers(built):
        fully_shard(layer, mesh=mesh)
    fully_shard(built.model, mesh=mesh)
    for module in built.model.modules():
        if isinstance(module, FSDPModule):
            # Ours are sums already divided by the weight of all ranks.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    built.sharded = True


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, which every rank gets; all ranks call it. What is not divided stays as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed_like(full: Tensor, other: Tensor) -> Tensor:
    """Our part of a tensor that every rank has whole, divided as another one is."""
    if not isinstance(other, DTensor):
        return full
    # Nothing is sent: every rank takes from its own copy.
    return distribute_tensor(full.to(other.device), other.device_mesh, other.placements, src_data_rank=None)


def gather(built: Built, *, keep: bool) -> None:
    """Makes the model whole again, on the CPU of the ranks that keep it; all ranks call it.

    For saving and for reading other weights, not for running: the others are left without any.
    """
    whole_ones: dict[int, torch.nn.Parameter] = {}
    for module in built.model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in whole_ones:
                full = whole(parameter.detach())
                kept = full.cpu() if keep else full.new_empty(0)
                whole_ones[id(parameter)] = torch.nn.Parameter(kept, requires_grad=parameter.requires_grad)
            # Tied ones stay tied. The old one lives until the loop ends, so that its id is not used again.
            module._parameters[name] = whole_ones[id(parameter)]  # noqa: SLF001 - no setter without FSDP's
        # They would put the parts back before anything is saved, or after the best weights are read.
        module._state_dict_pre_hooks.clear()  # noqa: SLF001
        module._load_state_dict_pre_hooks.clear()  # noqa: SLF001
        module._load_state_dict_post_hooks.clear()  # noqa: SLF001
        if isinstance(module, FSDPModule):
            # `save_pretrained` writes the name of the class.
            module.__class__ = type(module).__bases__[1]
    built.sharded = False


class Touch:
    """Makes a pass without images reach the parts that only images reach, with a gradient of zero.

    Gradients are added up group by group: a rank that has none where another has would be waited for.
    """

    def __init__(self, built: Built) -> None:
        self.on = False
        part = built.family.parts.part_of
        self._reached_by_images = [
            (built.model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
            for name in built.trainable()
            if part(name) in {"vision_tower", "projector"}
        ]
        if self._reached_by_images:
            built.model.get_input_embeddings().register_forward_hook(self._touch)

    def _touch(self, _module: torch.nn.Module, _given: Any, found: Tensor) -> Tensor:
        if not self.on:
            return found
        weights = [getattr(module, name) for module, name in self._reached_by_images]
        zero = 0 * torch.stack([each.reshape(-1)[0].float() for each in weights]).sum()
        return found + zero.to(found.dtype)


def _layers(built: Built) -> Iterator[torch.nn.Module]:
    """The layers of the language model: those of its outermost lists of modules."""
    part = built.family.parts.part_of
    lists: list[str] = []
    for name, module in built.model.named_modules():
        nested = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, torch.nn.ModuleList) and part(f"{name}.") == "language_model" and not nested:
            lists.append(name)
            yield from module
