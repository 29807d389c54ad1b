"""Chooses the files of records and their format."""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from visiontune_data import paths
from visiontune_data.archive.refused import refuse
from visiontune_data.checks import SPLITS
from visiontune_data.formats import AUTO, DETECTION_ORDER, FORMATS, Format
from visiontune_data.pairs import Pair, find, webdataset_key
from visiontune_data.report import Place
from visiontune_data.text import shorten

_SPLIT_ORDER = {"train": 0, "validation": 1, "test": 2}
_NAMES_SHOWN = 10
_PART = re.compile(r"-\d{5}-of-\d{5}(?=$|\.parquet$)")  # of a split that is several files
Sample = Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file of records, or (`pair`) what stands beside one image. `split` is what its path says."""

    path: str
    split: str | None
    pair: Pair | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The format, why it is that one, and its files in the order in which their records are read."""

    format: Format
    files: tuple[RecordFile, ...]
    reason: str = ""


def choose(wanted: str, record_paths: Sequence[str], image_paths: Sequence[str], sample: Sample) -> Choice:
    """The format called `wanted`, or for `auto` the one whose records these are.

    `sample(path)` gives the first records of a file. Raises archive.Refused.
    """
    formats = DETECTION_ORDER if wanted == AUTO else (FORMATS[wanted],)
    if found := _samples(formats, record_paths, image_paths, sample):
        return found
    if pairs := _pairs(formats, record_paths, image_paths):
        return pairs
    choices = [Choice(f, files) for f in formats if (files := _files_of(f, record_paths))]
    if not choices:
        raise _missing(formats, [*record_paths, *image_paths])
    choice = choices[0]
    if wanted == AUTO:
        choice = _recognised(choices, sample)
        choice = replace(choice, reason=f"{choice.format.name}: {choice.format.evidence}")
    _refuse_ambiguous(choice)
    return choice


def _samples(
    formats: Sequence[Format], record_paths: Sequence[str], image_paths: Sequence[str], sample: Sample
) -> Choice | None:
    """The format whose records are the .json of WebDataset's samples, where each file is one of these."""
    files = [RecordFile(path, _split_of(path)) for path in record_paths]
    keys = [webdataset_key(path) for path in record_paths]
    is_beside = not set(keys).isdisjoint(map(webdataset_key, image_paths))
    if (
        not files
        or any(paths.suffix(path) != "json" for path in record_paths)
        or not (is_beside or (len(files) > 1 and all(map(_is_number, keys))))
    ):
        return None
    first = sample(files[0].path)
    for format_ in formats:
        if format_.is_sample and len(first) == 1 and format_.recognises(first[0]):
            reason = f"{format_.name}: {len(files):,} files are a record each, as in WebDataset"
            return Choice(format_, tuple(files), reason)
    return None


def _is_number(key: str) -> bool:
    return posixpath.basename(key).isdigit()


def _pairs(
    formats: Sequence[Format], record_paths: Sequence[str], image_paths: Sequence[str]
) -> Choice | None:
    """The first format whose records stand beside the images, where no other file could hold some."""
    for format_ in formats:
        pairs = find(image_paths, record_paths, format_.sidecars, format_.pair_key)
        paired = {path for pair in pairs for path in (pair.txt, pair.json)}
        others = [path for path in record_paths if path not in paired]
        if pairs and not any(paths.suffix(path) != "txt" for path in others):
            beside = " or ".join(f".{suffix}" for suffix in format_.sidecars)
            reason = f"{format_.name}: {len(pairs):,} images have a {beside} beside them"
            return Choice(format_, tuple(RecordFile(p.path, _split_of(p.path), p) for p in pairs), reason)
    return None


def _files_of(format_: Format, record_paths: Sequence[str]) -> tuple[RecordFile, ...]:
    """The files that match the format's first pattern that any matches, the shallowest only."""
    for pattern in (*format_.file_names, "*.parquet"):
        matching = [p for p in record_paths if fnmatchcase(posixpath.basename(p), pattern)]
        if matching:
            depth = min(p.count("/") for p in matching)
            files = [RecordFile(p, _split_of(p)) for p in matching if p.count("/") == depth]
            return tuple(sorted(files, key=lambda f: (_SPLIT_ORDER.get(f.split or "", 9), f.path)))
    return ()


def _split_of(path: str) -> str | None:
    """The split that a file's stem or its folder names."""
    folder, name = posixpath.split(path)
    stem = _PART.sub("", name.partition(".")[0].lower())
    return SPLITS.get(stem) or SPLITS.get(posixpath.basename(folder).lower())


def _recognised(choices: Sequence[Choice], sample: Sample) -> Choice:
    """The first choice whose format knows all records of the sample, else the first that knows some."""
    samples = {path: sample(path) for path in dict.fromkeys(choice.files[0].path for choice in choices)}
    partial: list[Choice] = []
    for choice in choices:
        records = samples[choice.files[0].path]
        known = sum(map(choice.format.recognises, records))
        if records and known == len(records):
            return choice
        partial += [choice] if known else []
    if partial:
        _refuse_mixed(partial[0], samples[partial[0].files[0].path])
        return partial[0]
    unknown = next((choice for choice in choices if samples[choice.files[0].path]), None)
    if unknown is None:  # nothing parsed: the errors of its records will say why
        return choices[0]
    path = unknown.files[0].path
    keys = ", ".join(f'"{shorten(key)}"' for key in list(samples[path][0])[:_NAMES_SHOWN])
    message = f"the first record has the fields {keys or '(none)'}; known formats: {', '.join(FORMATS)}"
    raise refuse("format-unknown", message, place=Place(path))


def _refuse_mixed(choice: Choice, records: Sequence[Mapping[str, Any]]) -> None:
    unknown = [record for record in records if not choice.format.recognises(record)]
    firsts = (next((f for f in DETECTION_ORDER if f.recognises(record)), None) for record in unknown)
    if others := {first.name for first in firsts if first}:
        names = ", ".join(sorted({choice.format.name, *others}))
        message = f"the first {len(records)} records are of several formats: {names}"
        raise refuse("format-mixed", message, place=Place(choice.files[0].path))


def _refuse_ambiguous(choice: Choice) -> None:
    splits = [file.split for file in choice.files if not file.pair and not _PART.search(file.path)]
    if len(splits) > 1 and (None in splits or len(set(splits)) < len(splits)):
        names = " and ".join(f'"{shorten(file.path)}"' for file in choice.files[:_NAMES_SHOWN])
        raise refuse("metadata-ambiguous", f"{names} could each be the file of records")


def _missing(formats: Sequence[Format], all_paths: Sequence[str]) -> Exception:
    looked_for = ", ".join(dict.fromkeys(name for f in formats for name in f.file_names))
    found = ", ".join(f'"{shorten(path)}"' for path in sorted(all_paths)[:_NAMES_SHOWN])
    return refuse("metadata-missing", f"no file named {looked_for}; found {found}")
