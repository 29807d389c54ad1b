"""Writes examples as WebDataset does: a sample is neighbouring files whose names begin alike.

`train/00000000.jpg` has its record beside it in `00000000.json`, and a lone caption in `00000000.txt`.
Several images of an example are `00000000.0.jpg`, `00000000.1.jpg`, …, as the record names them.
"""

import io
import json
import posixpath
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from visiontune_data.example import Kind
from visiontune_data.exported import CannotExport, ExportedExample
from visiontune_data.formats import FORMATS
from visiontune_data.naming import suffix_of
from visiontune_data.packing import Pack

NAME: Final = "webdataset"
_RECORDS: Final = {  # the format of the .json
    Kind.CAPTIONED_IMAGE: FORMATS["clip"],
    Kind.CHAT_WITH_IMAGES: FORMATS["qwen2-vl"],
    Kind.CHAT_WITH_VIDEO: FORMATS["qwen2-vl"],
    Kind.CHAT: FORMATS["qwen2-vl"],
}
KINDS: Final = frozenset(_RECORDS)


@dataclass(slots=True)
class WebDatasetWriter:
    """The samples written so far."""

    pack: Pack
    counts: Counter[str] = field(default_factory=Counter)
    image_count: int = 0

    def add(self, example: ExportedExample) -> None:
        """Writes one sample. Raises CannotExport."""
        if example.kind not in _RECORDS:
            raise CannotExport(example.id, NAME, f"it is of the kind {example.kind}")
        key = f"{example.split}/{self.counts[example.split]:08d}"
        one = len(example.images) == 1
        paths = [
            f"{key}{'' if one else f'.{index}'}.{suffix_of(image)}"
            for index, image in enumerate(example.images)
        ]
        names = [posixpath.basename(path) for path in paths]
        record = _RECORDS[example.kind].record_of(example, names)
        for path, image in zip(paths, example.images, strict=True):
            self._write(path, image.data)
        if (text := _lone_caption(example)) is not None:
            del record["text"]
            self._write(f"{key}.txt", text.encode())
        self._write(f"{key}.json", json.dumps(record, ensure_ascii=False).encode())
        self.counts[example.split] += 1
        self.image_count += len(paths)

    def finish(self) -> None:
        """Nothing follows the last sample."""

    def _write(self, path: str, data: bytes) -> None:
        self.pack(path, io.BytesIO(data), len(data))


def _lone_caption(example: ExportedExample) -> str | None:
    """The caption that a .txt can hold as it is; None where the .json has to."""
    if example.messages or len(example.texts) != 1:
        return None
    [text] = example.texts
    return None if text.endswith(("\r", "\n")) or text.startswith("\ufeff") else text
