"""The formats that can be imported: one module each, one line here."""

from visiontune_data.formats import (
    chat,
    clip,
    image_caption,
    llava,
    openai,
    parquet,
    preference,
    qwen2_vl,
    retrieval,
    sharegpt,
    video_llava,
)
from visiontune_data.formats.format import Format, Notes, RecordModel

AUTO = "auto"
_ALL = (
    parquet.FORMAT,
    image_caption.FORMAT,
    preference.FORMAT,
    retrieval.FORMAT,
    chat.FORMAT,
    openai.FORMAT,
    sharegpt.FORMAT,
    llava.FORMAT,
    video_llava.FORMAT,
    qwen2_vl.FORMAT,
    clip.FORMAT,
)
FORMATS = {format_.name: format_ for format_ in sorted(_ALL, key=lambda f: f.name)}
# The order in which `auto` tries them: of two that know all records, the first, which knows fewer others.
DETECTION_ORDER = _ALL

__all__ = ["AUTO", "DETECTION_ORDER", "FORMATS", "Format", "Notes", "RecordModel"]
