"""What an import does with the bytes of its images before it stores them: nothing, unless asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from visiontune_data import stripping
from visiontune_data.compression import Compressed, Policy, Target, compress


@dataclass(frozen=True, slots=True)
class Treatment:
    """How images are changed. What the policy makes has no metadata in any case."""

    strip_metadata: bool = False
    policy: Policy | None = None

    def apply(self, data: bytes, kind: str, orientation: int) -> Compressed | bytes:
        """What to store of an image that decodes, never longer than it. Raises NotRemovable."""
        if self.policy and (made := compress(data, kind, orientation, self.policy)):
            return made
        return stripping.strip(data, kind, orientation) if self.strip_metadata else data

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """The treatment out of what `dataclasses.asdict` made of it."""
        policy = fields.get("policy")
        return cls(
            fields.get("strip_metadata", False),
            policy and Policy(policy["largest_side_px"], Target(policy["target"]), policy["quality"]),
        )


AS_THEY_ARE: Final = Treatment()
