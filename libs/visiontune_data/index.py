"""An index of a version's examples in memory: what filters and searches look at, as columns.

It is made of the previews' JSON, a part a shard, so that versions that share a shard share its part.
"""

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from visiontune_data import filters
from visiontune_data.example import Example, text_of
from visiontune_data.filters import Compare, Condition, Not
from visiontune_data.previews import example_of, tags_of

Mask = npt.NDArray[np.bool_]
_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Order(StrEnum):
    """What comes first among rows."""

    TEXT_BYTES = "text_bytes desc"
    IMAGE_PIXELS = "image_pixels desc"  # of all images of a row together


@dataclass(frozen=True, slots=True)
class Many:
    """A field with any number of values an example: the row of each value, and the value."""

    rows: npt.NDArray[np.int64]
    values: Any  # a pyarrow or numpy array

    @classmethod
    def of(cls, rows: Sequence[int], values: Any) -> "Many":
        """The same, of plain lists."""
        return cls(np.array(rows, dtype=np.int64), values)

    def any(self, matching: Mask, count: int) -> Mask:
        """Which of `count` rows have a value that matches."""
        mask = np.zeros(count, dtype=bool)
        mask[self.rows[matching]] = True
        return mask


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """The index of one shard's rows."""

    examples: pa.Array  # the preview's JSON
    ids: pa.Array
    splits: pa.Array
    texts: pa.Array  # everything said in an example, messages and captions, a line each
    tags: Many
    answers: Many
    problems: Many
    image_rows: npt.NDArray[np.int64]
    image_digests: npt.NDArray[np.bytes_]
    image_formats: pa.Array
    image_numbers: dict[str, npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        arrow = (self.examples, self.ids, self.splits, self.texts, self.image_formats)
        many = (self.tags, self.answers, self.problems)
        columns = [*arrow, *(each.rows for each in many), *(each.values for each in many)]
        columns += [*self.image_numbers.values(), self.image_rows, self.image_digests]
        return sum(int(column.nbytes) for column in columns)


def shard_index(previews: Sequence[str]) -> ShardIndex:
    """The index of the rows whose preview JSON this is."""
    examples = [example_of(text) for text in previews]
    images = [(row, image) for row, example in enumerate(examples) for image in example.images]
    return ShardIndex(
        examples=pa.array(previews, pa.large_string()),
        ids=pa.array([each.id for each in examples], pa.string()),
        splits=pa.array([each.split for each in examples], pa.string()),
        texts=pa.array(["\n".join(_texts(each)) for each in examples], pa.large_string()),
        tags=_many(examples, tags_of),
        answers=_many(examples, lambda example: example.answers),
        problems=_many(examples, lambda example: example.problems),
        image_rows=np.array([row for row, _ in images], dtype=np.int64),
        image_digests=np.array([bytes.fromhex(image.sha256) for _, image in images], dtype="S32"),
        image_formats=pa.array([image.format for _, image in images], pa.string()),
        image_numbers={
            "width": np.array([image.width_px for _, image in images], dtype=np.int64),
            "height": np.array([image.height_px for _, image in images], dtype=np.int64),
            "size_bytes": np.array([image.length for _, image in images], dtype=np.int64),
            "brightness": np.array([image.brightness for _, image in images], dtype=np.int64),
        },
    )


def _texts(example: Example) -> Iterable[str]:
    yield from map(text_of, example.messages)
    yield from example.texts


def _many(examples: Sequence[Example], values: Callable[[Example], Iterable[str]]) -> Many:
    pairs = [(row, value) for row, example in enumerate(examples) for value in values(example)]
    return Many.of([row for row, _ in pairs], pa.array([value for _, value in pairs], pa.large_string()))


@dataclass(frozen=True)
class VersionIndex:
    """The index of a version: its shards', in order."""

    shards: tuple[ShardIndex, ...]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def select(self, condition: Condition, query: str = "") -> list[int]:
        """The rows, ascending, for which `condition` holds and whose text contains `query`, in any case."""
        masks = []
        for shard, duplicates in zip(self.shards, self._duplicates, strict=True):
            mask = _Shard(shard, duplicates).holds(condition)
            masks.append(mask & _contains(shard.texts, query) if query else mask)
        return [int(row) for row in np.flatnonzero(np.concatenate(masks))] if masks else []

    def ordered(self, rows: Sequence[int], order: Order) -> list[int]:
        """The rows with most of something first; among equals the first of them."""
        amounts = np.concatenate([_amounts(shard, order) for shard in self.shards] or [np.empty(0, np.int64)])
        return [rows[place] for place in np.argsort(-amounts[list(rows)], kind="stable")]

    def preview(self, row: int) -> str:
        """The JSON of a row."""
        place = bisect_right(self._ends, row)
        if place == len(self.shards):
            raise IndexError(row)
        shard = self.shards[place]
        return str(shard.examples[row - self._ends[place] + len(shard)].as_py())

    def row_of(self, example_id: str) -> int | None:
        """The row that has the id."""
        return self._rows.get(example_id)

    def example_with(self, sha256: str) -> Example | None:
        """The first example that has an image of that digest."""
        for shard in self.shards:
            found = np.flatnonzero(shard.image_digests == np.bytes_(bytes.fromhex(sha256)))
            if found.size:
                return example_of(shard.examples[int(shard.image_rows[found[0]])].as_py())
        return None

    def ids(self) -> Iterator[str]:
        """The ids of all rows, in order."""
        for shard in self.shards:
            yield from shard.ids.to_pylist()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids())}

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.shards)))

    @cached_property
    def _duplicates(self) -> list[Mask]:
        """For each shard which rows have an image that another row of the version has, too."""
        starts = accumulate(map(len, self.shards), initial=0)
        rows = [shard.image_rows + start for shard, start in zip(self.shards, starts, strict=False)]
        marks = np.zeros(len(self), dtype=bool)
        if rows:
            # A row that has the same image twice is no duplicate of itself.
            pairs = np.unique(
                np.array(
                    list(zip(np.concatenate([s.image_digests for s in self.shards]).tolist(),
                             np.concatenate(rows).tolist(), strict=True)),
                    dtype=[("digest", "S32"), ("row", np.int64)],
                )
            )  # fmt: skip
            _, inverse, counts = np.unique(pairs["digest"], return_inverse=True, return_counts=True)
            marks[pairs["row"][counts[inverse] > 1]] = True
        return np.split(marks, self._ends[:-1]) if self._ends else []


@dataclass(frozen=True, slots=True)
class _Shard:
    """Conditions on one shard."""

    index: ShardIndex
    duplicates: Mask

    def holds(self, condition: Condition) -> Mask:
        match condition:
            case filters.All(parts):
                return functools.reduce(np.logical_and, map(self.holds, parts), self._everything())
            case filters.Any(parts):
                return functools.reduce(np.logical_or, map(self.holds, parts))
            case Not(part):
                return ~self.holds(part)
            case Compare():
                return self._compare(condition)

    def _everything(self) -> Mask:
        return np.ones(len(self.index), dtype=bool)

    def _compare(self, wanted: Compare) -> Mask:
        index, count = self.index, len(self.index)
        one = {"id": index.ids, "split": index.splits, "text": index.texts}
        many = {
            "tags": index.tags,
            "answer": index.answers,
            "problem": index.problems,
            "format": Many(index.image_rows, index.image_formats),
        }
        if wanted.field in one:
            return _matches(one[wanted.field], wanted)
        if wanted.field in many:
            return self._any(many[wanted.field], wanted)
        match wanted.field:
            case "duplicate":
                return np.equal(self.duplicates, wanted.value)
            case "has":
                return self._has(str(wanted.value))
            case "images":
                return _compared(np.bincount(index.image_rows, minlength=count), wanted)
            case field:
                numbers = index.image_numbers[field]
                return Many(index.image_rows, numbers).any(_compared(numbers, wanted), count)

    def _any(self, many: Many, wanted: Compare) -> Mask:
        """`!=` means that no value of the row is that one."""
        if wanted.operator == "!=":
            return ~self._any(many, Compare(wanted.field, "=", wanted.value))
        return many.any(_matches(many.values, wanted), len(self.index))

    def _has(self, what: str) -> Mask:
        rows = {
            "images": self.index.image_rows,
            "tags": self.index.tags.rows,
            "problems": self.index.problems.rows,
        }[what]
        return np.bincount(rows, minlength=len(self.index)) > 0


def _amounts(index: ShardIndex, order: Order) -> npt.NDArray[np.int64]:
    """How much of it each row of a shard has."""
    if order is Order.TEXT_BYTES:
        lengths: npt.NDArray[np.int64] = pc.binary_length(index.texts).to_numpy(zero_copy_only=False)
        return lengths
    pixels = np.zeros(len(index), np.int64)
    np.add.at(pixels, index.image_rows, index.image_numbers["width"] * index.image_numbers["height"])
    return pixels


def _compared(numbers: npt.NDArray[np.int64], wanted: Compare) -> Mask:
    mask: Mask = _OPERATORS[wanted.operator](numbers, wanted.value)
    return mask


def _matches(values: pa.Array, wanted: Compare) -> Mask:
    if wanted.operator == ":" and wanted.field != "tags":
        return _contains(values, str(wanted.value))
    equal = _numpy(pc.equal(values, wanted.value))
    return ~equal if wanted.operator == "!=" else equal


def _contains(values: pa.Array, text: str) -> Mask:
    return _numpy(pc.match_substring(values, text, ignore_case=True))


def _numpy(found: pa.Array) -> Mask:
    mask: Mask = found.to_numpy(zero_copy_only=False).astype(bool)
    return mask
