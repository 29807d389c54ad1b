"""The operator's names for what the cluster has: accelerators, spot machines, queues, priorities."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from visiontune_recipes.check import Problem
from visiontune_recipes.spec import Resources

from visiontune_trainer.ports import AcceleratorKind

_GIB = 1024**3


class PlacesFileError(ValueError):
    """The operator's file cannot be used; the message says where it is wrong."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pool(_Model):
    """A kind of nodes: the labels that they have, and the taints that pods there must tolerate."""

    node_labels: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()


class Accelerator(Pool):
    """A kind of accelerator and the nodes that have it."""

    resource: str = "nvidia.com/gpu"  # the extended resource that counts them
    max_count: int = Field(default=8, ge=1)  # on one node
    device_memory_gib: int | None = Field(default=None, ge=1)  # of one, told to users
    # Of one, dense: durations are estimated by it. 0: it has no bfloat16, so that jobs which leave their
    # precision open compute in float16 there.
    bf16_tflops: float | None = Field(default=None, ge=0)
    # Per accelerator, where the trainer's settings for all do not fit.
    cpus: float | None = Field(default=None, gt=0)
    memory_gib: int | None = Field(default=None, ge=1)
    price_per_hour: float | None = Field(default=None, ge=0)
    spot_price_per_hour: float | None = Field(default=None, ge=0)


class Priority(_Model):
    """What a priority is to the scheduler, and to Kueue."""

    priority_class: str = ""
    queue_priority_class: str = ""


class Places(_Model):
    """What the cluster has, by the names that users write in a job."""

    accelerators: dict[str, Accelerator] = {}
    cpu: Pool = Pool()  # nodes for jobs without accelerators
    spot: Pool | None = None  # None where there are no spot machines
    queues: tuple[str, ...] = ()  # Kueue's LocalQueues
    default_queue: str = ""
    priorities: dict[str, Priority] = {}

    @classmethod
    def from_file(cls, path: Path | None) -> Self:
        """Reads the operator's YAML file; without one there are only CPUs. Raises PlacesFileError."""
        if path is None:
            return cls()
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise PlacesFileError(f"{path} is no list of accelerators: {error}") from error

    def pool_of(self, resources: Resources) -> Pool:
        """Nodes of the accelerator; of the CPU when none is asked for."""
        return self.accelerators[resources.accelerator] if resources.accelerator_count else self.cpu

    def kinds(self) -> list[AcceleratorKind]:
        """What users are told of the accelerators, in order of name."""
        return [
            AcceleratorKind(
                name,
                None if kind.device_memory_gib is None else kind.device_memory_gib * _GIB,
                kind.max_count,
                self.spot is not None,
                kind.price_per_hour,
                kind.spot_price_per_hour,
                kind.bf16_tflops * 1e12 if kind.bf16_tflops else None,
                kind.bf16_tflops != 0,
            )
            for name, kind in sorted(self.accelerators.items())
        ]

    def price_of(self, accelerator: str, *, is_spot: bool) -> float | None:
        """Price of one accelerator for an hour; None when the operator gave none."""
        known = self.accelerators.get(accelerator)
        if known is None:
            return None
        return known.spot_price_per_hour if is_spot else known.price_per_hour

    def problems_of(self, resources: Resources) -> list[Problem]:
        """What stands against these resources here, with the names that would do."""
        return [*self._accelerator_problems(resources), *self._other_problems(resources)]

    def _accelerator_problems(self, resources: Resources) -> Iterator[Problem]:
        name, count = resources.accelerator, resources.accelerator_count
        known = self.accelerators.get(name)
        if known is None and (name or count):
            message = f'There is no accelerator "{name}" here.' if name else "No accelerator is named."
            remedy = _use_one_of(self.accelerators)
            yield Problem("resources.accelerator", "unknown_accelerator", message, remedy)
        elif known is not None and count == 0:
            message = f"{name} is named, but none of it is asked for."
            remedy = "Set resources.accelerator_count to 1 or more, or leave resources.accelerator empty."
            yield Problem("resources.accelerator_count", "no_accelerator_asked", message, remedy)
        elif known is not None and count > known.max_count:
            message = f"A node has at most {known.max_count} {name}; {count} were asked for."
            remedy = f"Ask for at most {known.max_count}, and for more nodes."
            yield Problem("resources.accelerator_count", "too_many_accelerators", message, remedy)

    def _other_problems(self, resources: Resources) -> Iterator[Problem]:
        if resources.is_spot and self.spot is None:
            message = "The operator offers no spot machines."
            yield Problem("resources.spot", "no_spot", message, "Set it to SPOT_NEVER.")
        if resources.queue and resources.queue not in self.queues:
            message = f'There is no queue "{resources.queue}" here.'
            yield Problem("resources.queue", "unknown_queue", message, _use_one_of(self.queues))
        if resources.priority and resources.priority not in self.priorities:
            message = f'There is no priority "{resources.priority}" here.'
            yield Problem("resources.priority", "unknown_priority", message, _use_one_of(self.priorities))


def _use_one_of(names: Iterable[str]) -> str:
    known = ", ".join(sorted(names))
    return f"Use one of: {known}." if known else "Leave it empty: the operator has listed none."
