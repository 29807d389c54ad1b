"""A small dataset of each format to start from: drawn digits, written as an export writes them."""

import hashlib
import io
import json
from typing import BinaryIO

from PIL import Image, ImageDraw, ImageFont

from visiontune_data.example import IMAGE, Kind, Message, Part
from visiontune_data.export import export
from visiontune_data.exported import ExportedExample, ExportedImage
from visiontune_data.formats import FORMATS, Format
from visiontune_data.packing import Archive

_WORDS = ("zero", "one", "two", "three", "four", "five")
_HELD_OUT = 4  # digits from here on
_SIDE_PX = 96
_README = """\
# {name}

{description}

    {layout}

One record:

    {record}

These are {count} examples to replace by yours. Pack the folder and import it:

    tar -czf data.tar.gz -C FOLDER .
    visiontune dataset import data.tar.gz --dataset ID --format {name}
"""


def write(format_name: str, out: BinaryIO, archive: Archive = "zip") -> None:
    """Writes the template with a README.md that explains it."""
    format_ = FORMATS[format_name]
    examples = [_example(number, format_.kind) for number in range(len(_WORDS))]
    export(examples, format_name, out, archive=archive, beside={"README.md": _readme(format_).encode()})


def _readme(format_: Format) -> str:
    record = json.dumps(json.loads(format_.example_record), indent=2, ensure_ascii=False)
    return _README.format(
        name=format_.name,
        description=format_.description,
        layout=format_.layout.replace("\n", "\n    "),
        record=record.replace("\n", "\n    "),
        count=len(_WORDS),
    )


def _example(number: int, kind: Kind) -> ExportedExample:
    word, images = _WORDS[number], (_digit(number),)
    texts: tuple[str, ...]
    split = "train" if number < _HELD_OUT else "validation"
    answer = Message("assistant", (Part(f"{word.capitalize()}."),))
    match kind:
        case Kind.CHAT:
            asked = Message("user", (Part(f"How is {number} written as a word?"),))
            return ExportedExample(f"digit-{number}", (), (asked, answer), split=split)
        case Kind.CAPTIONED_IMAGE:
            texts = (f"the digit {word}", f"a drawing of a {number}")
            return ExportedExample(f"digit-{number}", images, texts=texts, split=split)
        case Kind.PREFERENCE:
            asked = Message("user", (IMAGE, Part("What digit is this?")))
            lost = f"{_WORDS[(number + 1) % len(_WORDS)].capitalize()}."
            return ExportedExample(f"digit-{number}", images, (asked, answer), texts=(lost,), split=split)
        case Kind.RETRIEVAL:
            others = (_digit((number + 1) % _HELD_OUT if number < _HELD_OUT else 9 - number),)
            texts = (f"Where is a {word}?",)
            return ExportedExample(f"digit-{number}", images, texts=texts, negatives=others, split=split)
        case Kind.CHAT_WITH_VIDEO:
            asked = Message("user", (Part(frames=3), Part("Which digit passes by?")))
            frames = tuple(_digit(number, at) for at in (0.1, 0.5, 0.9))
            return ExportedExample(f"digit-{number}", frames, (asked, answer), split=split)
        case _:
            asked = Message("user", (IMAGE, Part("What digit is this?")))
            return ExportedExample(f"digit-{number}", images, (asked, answer), split=split)


def _digit(number: int, at: float = 0.5) -> ExportedImage:
    picture = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "white")
    font = ImageFont.load_default(size=_SIDE_PX * 3 // 4)
    ImageDraw.Draw(picture).text((_SIDE_PX * at, _SIDE_PX // 2), str(number), "black", font, anchor="mm")
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    data = encoded.getvalue()
    return ExportedImage(
        data, f"images/{number}{'' if at == 0.5 else f'-{at}'}.png", hashlib.sha256(data).hexdigest()
    )
