"""Records made of files that stand beside each image: its caption as .txt, more about it as .json."""

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from visiontune_data import paths, records
from visiontune_data.limits import Limits
from visiontune_data.records import Record
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and the files beside it; "" for one that is not there.

    `key` is what they have in common where that is less than the image's name without its suffix.
    """

    image: str
    txt: str = ""
    json: str = ""
    key: str = ""

    @property
    def path(self) -> str:
        """The file that problems are said of."""
        return self.txt or self.json


def stem(path: str) -> str:
    """What a file has in common with those that belong to it: all but its suffix."""
    return posixpath.splitext(path)[0]


def webdataset_key(path: str) -> str:
    """The same for WebDataset: all up to the first dot of the name."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, name.partition(".")[0])


def find(
    images: Iterable[str], others: Collection[str], suffixes: Collection[str], key: Callable[[str], str]
) -> list[Pair]:
    """The images that have a file of these suffixes beside them, in order.

    A file of the image's own name goes before one that has only the key in common with it.
    """
    by_key: dict[str, dict[str, str]] = {}
    by_name: dict[str, dict[str, str]] = {}
    for path in others:
        if (suffix := paths.suffix(path)) in suffixes:
            by_key.setdefault(key(path), {})[suffix] = path
            by_name.setdefault(stem(path), {})[suffix] = path
    if not by_key:
        return []
    found = []
    for image in images:
        common, name = key(image), stem(image)
        if beside := by_key.get(common, {}) | by_name.get(name, {}):
            found.append(Pair(image, **beside, key="" if common == name or name in by_name else common))
    return found


def read(
    pair: Pair, open_: Callable[[str], BinaryIO], limits: Limits, warn: Callable[[Problem], None]
) -> Iterator[Record]:
    """The record of a pair: the fields of its .json, its image as `file_name`, its .txt as `text`.

    A .json that names the image itself, as `image`, needs no other name.
    """
    if pair.key:
        field = shorten(pair.image[len(pair.key) + 1 :])
        message = f'its key is "{shorten(pair.key)}", its field "{field}"'
        warn(Problem("webdataset-key", Place(pair.image), message))
    value: dict[str, Any] = {}
    if pair.json:
        found = list(records.read(open_(pair.json), pair.json, limits, lambda _: None))
        if len(found) != 1 or found[0].value is None:
            yield found[0] if len(found) == 1 else _not_one(pair)
            return
        value |= found[0].value
    name = posixpath.basename(pair.image)
    if value.get("image") != name:
        value["file_name"] = name
    if pair.txt:
        text = open_(pair.txt).read(limits.record_bytes + 1)
        if problem := _text_problem(text, Place(pair.txt), limits):
            yield Record(problem.place, None, problem)
            return
        value["text"] = text.decode("utf-8-sig").rstrip("\r\n")
    yield Record(Place(pair.path, 1, "$"), value)


def _not_one(pair: Pair) -> Record:
    place = Place(pair.json, 1)
    return Record(place, None, Problem("json-not-object", place, "the file is not one object"))


def _text_problem(text: bytes, place: Place, limits: Limits) -> Problem | None:
    if len(text) > limits.record_bytes:
        return Problem("record-too-large", place, f"the text has more than {limits.record_bytes:,} bytes")
    try:
        text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return records.not_utf8(error, 0, place)
    return Problem("json-nul", place, "the text contains U+0000") if b"\0" in text else None
