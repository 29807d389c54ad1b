"""The formats that can be imported: one module each, one line here."""

from visiontune_data.formats import image_caption, llava
from visiontune_data.formats.format import Format, Notes, RecordModel

AUTO = "auto"
_ALL = (
    image_caption.FORMAT,
    llava.FORMAT,
)
FORMATS = {format_.name: format_ for format_ in sorted(_ALL, key=lambda f: f.name)}
# The order in which `auto` tries them: the most particular file name first.
DETECTION_ORDER = _ALL

__all__ = ["AUTO", "DETECTION_ORDER", "FORMATS", "Format", "Notes", "RecordModel"]
