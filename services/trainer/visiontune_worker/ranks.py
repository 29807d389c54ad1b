"""The processes that train one attempt together. What each of them may rely on is in docs/decisions/0009."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from visiontune_worker.control import LOOK_EVERY_S, Follower, Leader, ending_to, strongest
from visiontune_worker.faults import Ending, EnvironmentFault, PassingFault
from visiontune_worker.interrupts import Interrupts

# For one collective alone: before each one all ranks have said that they are there.
COLLECTIVE_TIMEOUT = timedelta(minutes=5)
# Gradients are added up in pieces of this size, so that their copy stays small.
BUCKET_BYTES = 64 * 1024 * 1024
ADDRESS = "visiontune/control"


class Ranks:
    """All ranks as one of them sees them. Of a single process everything here does nothing."""

    def __init__(self, line: Leader | Follower | None = None, store: Any = None, count: int = 1) -> None:
        self.count = count
        self.agreed: Ending | None = None
        self._line = line
        self._store = store
        self._device = torch.device("cpu")

    @property
    def rank(self) -> int:
        """Number of this process; 0 leads."""
        return self._line.rank if self._line else 0

    @property
    def leads(self) -> bool:
        """True for the one process that speaks with the trainer."""
        return self.rank == 0

    def start(self, device: torch.device) -> None:
        """Prepares collectives between devices of this kind."""
        self._device = device
        if self._line:
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                store=self._store,
                rank=self.rank,
                world_size=self.count,
                timeout=COLLECTIVE_TIMEOUT,
            )

    def close(self) -> None:
        """Ends the collectives. Not after a failure: NCCL would wait for who is gone."""
        if self._line and dist.is_initialized():
            dist.destroy_process_group()

    def exchange(self, value: Any, check: Callable[[], None] = lambda: None) -> list[Any]:
        """Gives JSON and gets that of all ranks, in their order. Raises when all ranks have to end."""
        return self._line.exchange(value, check) if self._line else [value]

    def totals(self, *numbers: int) -> tuple[int, ...]:
        """Each number, summed over all ranks."""
        return tuple(map(sum, zip(*self.exchange(numbers), strict=True)))

    def check(self, interrupts: Interrupts) -> None:
        """At the boundary of a step: raises the strongest order that any rank heard, on all of them."""
        if self._line is None:
            interrupts.check()
            return
        heard = interrupts.heard
        name = self._line.name if isinstance(self._line, Leader) else "Rank {}".format
        self.agreed = strongest(self.exchange(ending_to(heard) if heard else None), name)
        if self.agreed is not None:
            raise self.agreed

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Gives all ranks what rank 0 has."""
        if self._line:
            for each in tensors:
                dist.broadcast(each.detach(), src=0)

    def gather(self, own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, int]]:
        """All ranks' tensors by name, one rank's behind the other's, and where this rank's begin.

        Their first axes may differ; the others are filled up by zeros. A rank may have none at all. No
        gradient comes back this way.
        """
        if self._line is None:
            return dict(own), dict.fromkeys(own, 0)
        kinds = {name: str(each.dtype).removeprefix("torch.") for name, each in own.items()}
        told = self.exchange({name: [kinds[name], *each.shape] for name, each in own.items()})
        whole: dict[str, Tensor] = {}
        starts: dict[str, int] = {}
        for name in sorted({name for each in told for name in each}):
            kind = next(each[name][0] for each in told if name in each)
            lengths = [each[name][1] if name in each else 0 for each in told]
            axes = [
                max(sizes) for sizes in zip(*(each[name][2:] for each in told if name in each), strict=True)
            ]
            starts[name] = sum(lengths[: self.rank])
            # Zeros where the others' stand: adding up puts all in their places. Bools cannot be added.
            stored = torch.uint8 if kind == "bool" else getattr(torch, kind)
            joined = torch.zeros(sum(lengths), *axes, dtype=stored, device=self._device)
            if name in own:
                place = slice(starts[name], starts[name] + lengths[self.rank])
                joined[(place, *map(slice, own[name].shape[1:]))] = own[name].to(stored)
            dist.all_reduce(joined)
            whole[name] = joined.bool() if kind == "bool" else joined
        return whole, starts

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter], loss: Tensor) -> None:
        """Adds up loss and gradients over all ranks, in place. What no rank used stays without a gradient."""
        if self._line is None:
            return
        used = sum(1 << place for place, each in enumerate(parameters) if each.grad is not None)
        anywhere = 0
        for mask in self.exchange(f"{used:x}"):
            anywhere |= int(mask, 16)
        tensors = [loss]
        for place, each in enumerate(parameters):
            if anywhere >> place & 1:
                if each.grad is None:
                    each.grad = torch.zeros_like(each)
                tensors.append(each.grad)
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            sums = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, summed in zip(bucket, sums, strict=True):
                tensor.copy_(summed.view_as(tensor))


def announce(leader: Leader, count: int) -> Ranks:
    """Rank 0 joins: the others learn from torchrun's store where it listens."""
    store = _store()
    store.set(ADDRESS, leader.address)
    return Ranks(leader, store, count)


def find(
    rank: int,
    count: int,
    host: str,
    *,
    patience_s: float,
    interrupts: Interrupts,
    on_stuck: Callable[[Ending], None],
) -> tuple[Follower, Ranks]:
    """Any other rank joins. PassingFault when rank 0 is not there within patience_s."""
    deadline = time.monotonic() + patience_s
    resolve(host, deadline, interrupts.check)
    try:
        store = _store()
        while not store.check([ADDRESS]):
            _wait(deadline, interrupts.check, f"Rank 0 on {host} has not said where it listens.")
        address = store.get(ADDRESS).decode()
        follower = Follower(rank, host, address, interrupts=interrupts, on_stuck=on_stuck)
    except (dist.DistError, OSError) as error:
        raise PassingFault("RANK_LOST", f"Rank 0 on {host} is not there any more: {error}") from error
    return follower, Ranks(follower, store, count)


def resolve(
    host: str,
    deadline: float,
    check: Callable[[], None],
    lookup: Callable[[str, None], Any] = socket.getaddrinfo,
) -> None:
    """Waits until a host has an address: the name of a pod exists some time after the pod."""
    while True:
        try:
            lookup(host, None)
        except socket.gaierror as error:
            _wait(deadline, check, f"{host}, the host of rank 0, has no address ({error}).")
        else:
            return


def device(accelerators: int, local_rank: int) -> torch.device:
    """Where a rank computes. EnvironmentFault when the machine has fewer accelerators than ranks."""
    if not accelerators:
        return torch.device("cpu")
    found = torch.cuda.device_count()
    if local_rank >= found:
        raise EnvironmentFault(
            "NO_ACCELERATOR",
            f"Process {local_rank} of this machine needs an accelerator of its own, but torch finds {found}. "
            "Leave resources.accelerator and accelerator_count out to train on the processor, with "
            "METHOD_LORA in place of METHOD_QLORA, or have the job run where there are enough.",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _wait(deadline: float, check: Callable[[], None], why: str) -> None:
    check()
    if time.monotonic() > deadline:
        raise PassingFault("RANK_MISSING", f"{why} Look at the pod or log of rank 0.")
    time.sleep(LOOK_EVERY_S)


def _store() -> Any:
    """The store that torchrun keeps."""
    store, _, _ = next(rendezvous("env://", timeout=COLLECTIVE_TIMEOUT))
    return store


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    room_bytes = BUCKET_BYTES
    for each in tensors:
        if bucket and each.nbytes > room_bytes:
            yield bucket
            bucket, room_bytes = [], BUCKET_BYTES
        bucket.append(each)
        room_bytes -= each.nbytes
    yield bucket
