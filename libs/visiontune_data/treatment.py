"""What an import does with the bytes of its images before it stores them: nothing, unless asked."""

from dataclasses import dataclass
from typing import Final

from visiontune_data import stripping


@dataclass(frozen=True, slots=True)
class Treatment:
    """How images are changed."""

    strip_metadata: bool = False

    def apply(self, data: bytes, kind: str, orientation: int) -> bytes:
        """The bytes to store of an image that decodes, never more than it has. Raises NotRemovable."""
        return stripping.strip(data, kind, orientation) if self.strip_metadata else data


AS_THEY_ARE: Final = Treatment()
