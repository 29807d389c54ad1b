"""What an import is given: archives and files of records, read as if they were one archive."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from visiontune_data import archive, paths
from visiontune_data.archive import File, Refused, Source, sniff
from visiontune_data.archive.refused import refuse
from visiontune_data.archive.stream import Guard, plain
from visiontune_data.limits import Limits
from visiontune_data.report import Place, Problem, Report
from visiontune_data.text import shorten

RECORD_SUFFIXES = frozenset({"json", "jsonl", "csv", "tsv", "parquet"})


class Input(NamedTuple):
    """One file to import, and what it is called."""

    source: Source
    name: str


class CountedSource:
    """A source that knows how far it was read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size = source.size
        self.read_bytes = 0
        self._position = 0

    def seek(self, offset: int, /) -> None:
        """Makes `offset` the place of the next read."""
        self._source.seek(offset)
        self._position = offset

    def read(self, length: int, /) -> bytes:
        """As of the source."""
        data = self._source.read(length)
        self._position += len(data)
        self.read_bytes = max(self.read_bytes, self._position)
        return data


def title(inputs: Sequence[Input]) -> str:
    """What a report calls them all: the first, and how many more."""
    more = f" and {len(inputs) - 1} more" if len(inputs) > 1 else ""
    return inputs[0].name + more


def files(inputs: Sequence[Input], report: Report, limits: Limits) -> Iterator[File]:
    """The files of all inputs. Raises Refused, also when two inputs have the same path."""
    if len(inputs) == 1:
        yield from _files_of(inputs[0], report, limits)
        return
    owners: dict[str, str] = {}
    for each in inputs:
        try:
            for file in _files_of(each, _OneOf(each.name, report), limits):
                if (owner := owners.setdefault(file.path, each.name)) != each.name:
                    message = f'the path is in "{shorten(owner)}" and in "{shorten(each.name)}"'
                    raise refuse("path-duplicate", message, place=Place(file.path), value=shorten(file.path))
                yield replace(file, chunks=_chunks(file, each.name))
        except Refused as refused:
            raise Refused(_located(refused.problem, each.name)) from refused


class _OneOf(Report):
    """What is found in one of several inputs goes to the report of all."""

    __slots__ = ("_all",)

    def __init__(self, name: str, whole: Report) -> None:
        super().__init__(name)
        self._all = whole

    def add(self, problem: Problem) -> None:
        """Passes the problem on."""
        self._all.add(_located(problem, self.archive))


def _chunks(file: File, name: str) -> Iterator[bytes]:
    try:
        yield from file.chunks
    except Refused as refused:
        raise Refused(_located(refused.problem, name)) from refused


def _located(problem: Problem, name: str) -> Problem:
    """The problem of one of several inputs: what is wrong with an archive itself is said of its name."""
    return problem if problem.place.member else replace(problem, place=replace(problem.place, member=name))


def _files_of(each: Input, report: Report, limits: Limits) -> Iterator[File]:
    source = each.source
    source.seek(0)
    suffix = paths.suffix(each.name)
    if suffix not in RECORD_SUFFIXES or sniff.is_archive(source.read(sniff.HEAD_BYTES)):
        yield from archive.files(source, report, limits)
        return
    source.seek(0)
    name = posixpath.basename(paths.normalise(each.name))
    yield File(name, source.size, plain(source, Guard(limits)))
