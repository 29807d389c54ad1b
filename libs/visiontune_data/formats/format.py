"""What a format is: a record model, and how a record becomes an example."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from visiontune_data.example import Draft, Kind
from visiontune_data.exported import CannotExport, ExportedExample
from visiontune_data.pairs import stem
from visiontune_data.records import json_type
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "bool_type": "true or false",
}
_NEAR_NAME = 0.75


class RecordModel(BaseModel):
    """Base of record models: no coercion, unknown fields kept."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


@dataclass(slots=True)
class Notes:
    """The problems of one record, noted at JSON paths that begin with `$`, the record itself."""

    place: Place
    problems: list[Problem] = field(default_factory=list)

    def add(self, rule: str, json_path: str, message: str, value: str = "") -> None:
        """Notes a problem."""
        self.problems.append(Problem(rule, self.at(json_path), message, shorten(value)))

    def at(self, json_path: str) -> Place:
        """The place of `json_path` in the file, where `$` may be one element of an array."""
        return self.place.at((self.place.json_path or "$") + json_path.removeprefix("$"))


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    `to_draft` gets a checked record and its object, and notes what is wrong beyond types. `from_example`
    gets an example and the paths of its images, relative to the file of records, and gives the record
    without its metadata; it raises CannotExport.
    """

    name: str
    description: str
    kind: Kind  # of its own example; `kinds` are all that it has a place for
    kinds: frozenset[Kind]
    file_names: tuple[str, ...]  # patterns of the files with records, as fnmatch takes them
    layout: str
    example_record: str
    record: type[RecordModel]
    to_draft: Callable[[Any, Mapping[str, Any], Notes], Draft]
    evidence: str  # what `auto` saw when it chose the format, as the end of a sentence
    recognises: Callable[[Mapping[str, Any]], bool]
    from_example: Callable[[ExportedExample, Sequence[str]], dict[str, Any]]
    sidecars: tuple[str, ...] = ()  # suffixes of files beside an image that can be its record
    pair_key: Callable[[str], str] = stem  # what they have in common with the image
    is_sample: bool = False  # whether a .json can be one record, of a WebDataset sample, and name its images
    embeds_images: bool = False  # whether from_example puts the images into the record itself
    export_path: str = "{split}.jsonl"  # of the file of records of a split, in an exported archive

    def draft(self, value: Mapping[str, Any], notes: Notes) -> Draft | None:
        """The draft of one record; None when its fields are not as the format wants them."""
        try:
            record = self.record.model_validate(value)
        except ValidationError as error:
            notes.problems.extend(_field_problems(error, value, notes))
            return None
        for key in record.model_extra or {}:
            _note_near_name(key, self.fields - value.keys(), notes)
        return self.to_draft(record, value, notes)

    @property
    def fields(self) -> set[str]:
        """The names of the record's fields."""
        return {f.alias or name for name, f in self.record.model_fields.items()}

    def record_of(self, example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
        """The record of an example: its metadata are fields beside the format's own.

        One of a name that the format itself uses gets an underscore more. A format with a place for metadata
        has put them there. Raises CannotExport.
        """
        if example.kind not in self.kinds:
            raise CannotExport(example.id, self.name, f"it is of the kind {example.kind}")
        record = self.from_example(example, image_paths)
        if "metadata" in record:
            return record
        for key, value in example.metadata.items():
            free = key
            while free in self.fields or free in record or (free != key and free in example.metadata):
                free += "_"
            record[free] = value
        return record


def _field_problems(error: ValidationError, value: Mapping[str, Any], notes: Notes) -> Iterator[Problem]:
    """One problem a path: the branches of a union are joined."""
    expected: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for detail in error.errors(include_url=False):
        path, there = _follow(detail["loc"], value)
        if detail["type"] == "missing":
            field_name = str(detail["loc"][-1])
            yield Problem("field-missing", notes.at(path), f'no field "{field_name}"', shorten(field_name))
            continue
        expected.setdefault(path, []).append(_EXPECTED.get(detail["type"], detail["msg"]))
        found[path] = there
    for path, kinds in expected.items():
        message = f"expected {' or '.join(dict.fromkeys(kinds))}, found {json_type(found[path])}"
        yield Problem("field-type", notes.at(path), message, shorten(str(found[path])))


def _follow(location: Sequence[str | int], value: Any) -> tuple[str, Any]:
    """The JSON path of pydantic's location and what is there; names of union branches are passed over."""
    path = "$"
    for step in location:
        if isinstance(step, int) and isinstance(value, list) and step < len(value):
            path, value = f"{path}[{step}]", value[step]
        elif isinstance(step, str) and isinstance(value, dict) and step in value:
            path, value = f"{path}.{step}", value[step]
    return path, value


def _note_near_name(key: str, absent: set[str], notes: Notes) -> None:
    if near := difflib.get_close_matches(key, absent, n=1, cutoff=_NEAR_NAME):
        notes.add(
            "field-unknown",
            f"$.{key}",
            f'the field "{shorten(key)}" is not known; did you mean "{near[0]}"?',
            key,
        )
