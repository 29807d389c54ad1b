"""Records out of a metadata file: JSON lines, a JSON array or CSV, each with its line and its problems."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from visiontune_data import json_text
from visiontune_data.limits import KIB, Limits
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten

_BOM = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CHUNK_CHARACTERS = 256 * KIB
_SPACES = " \t\r\n"
_EMBEDDED = b'"data:image/'


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it begins, and its object; or, in its place, what is wrong with it."""

    place: Place  # json_path is "$", or "$[3]" in an array
    value: dict[str, Any] | None
    problem: Problem | None = None


def read(file: BinaryIO, member: str, limits: Limits, warn: Callable[[Problem], None]) -> Iterator[Record]:
    """The records of `member`, in order. `file` is at its begin and seekable."""
    head = file.read(4 * KIB)
    if head.startswith(_UTF16_MARKS) or _looks_like_utf16(head):
        problem = Problem("json-utf16", Place(member), "the file is UTF-16")
        yield Record(Place(member), None, problem)
        return
    begin = 0
    if head.startswith(_BOM):
        warn(
            Problem("json-bom", Place(member, 1), "the file begins with a byte order mark, which was ignored")
        )
        begin = len(_BOM)
    file.seek(begin)
    if member.endswith((".csv", ".tsv")):
        yield from _csv_rows(file, member, limits)
    elif _is_array(head[begin:], member):
        yield from _array(file, member, limits)
    else:
        yield from _lines(file, member, limits)


def _looks_like_utf16(head: bytes) -> bool:
    return len(head) >= 4 and (head[0] == 0 != head[1]) != (head[1] == 0 != head[0])


def _is_array(head: bytes, member: str) -> bool:
    """Whether the file is one array: it begins as one, and not as a line that is a list by mistake."""
    text = head.lstrip()
    return text.startswith(b"[") and (member.endswith(".json") or text[1:].lstrip().startswith(b"{"))


def _lines(file: BinaryIO, member: str, limits: Limits) -> Iterator[Record]:
    decoder = json_text.Decoder(limits)
    number, offset = 0, file.tell()
    while line := file.readline(limits.record_bytes + 2):
        number += 1
        place = Place(member, number, "$")
        most = limits.record_bytes
        if len(line) > most and _EMBEDDED in line:
            most = limits.embedded_record_bytes
            line += file.readline(most + 2 - len(line))
        length = len(line)
        if not line.endswith(b"\n") and len(line) > most:
            while rest := file.readline(limits.record_bytes):
                length += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield Record(place, None, _too_large(place, length, limits))
        elif line.strip():
            yield _line(line, offset, place, decoder, limits)
        offset += length


def _line(line: bytes, offset: int, place: Place, decoder: json_text.Decoder, limits: Limits) -> Record:
    try:
        text = line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        return Record(place, None, not_utf8(error, offset, place))
    try:
        start = len(text) - len(text.lstrip(_SPACES))
        value, end = decoder.parse(text, start)
        if rest := text[end:].strip(_SPACES):
            raise json.JSONDecodeError(
                "Extra data", text, len(text) - len(text[end:].lstrip(_SPACES)) if rest else end
            )
    except json.JSONDecodeError as error:
        return Record(place, None, json_text.syntax_problem(error, place.at(""), error.pos + 1))
    except RecursionError:
        return Record(place, None, json_text.too_deep(place, limits))
    return _record(value, text, place, decoder)


def _record(value: Any, text: str, place: Place, decoder: json_text.Decoder) -> Record:
    if not isinstance(value, dict):
        kind = json_type(value)
        return Record(
            place,
            None,
            Problem("json-not-object", place, f"the record is {kind}, not an object", shorten(text.strip())),
        )
    problem = decoder.problem(value, text, place)
    return Record(place, None if problem else value, problem)


def _array(file: BinaryIO, member: str, limits: Limits) -> Iterator[Record]:
    """The elements of a top-level array; a syntax error ends it, since nothing marks the next."""
    window = _Window(file)
    decoder = json_text.Decoder(limits)
    index = 0
    try:
        window.skip_spaces()
        window.skip("[")
        while not window.skip("]"):
            if index and not window.skip(","):
                raise json.JSONDecodeError("Expecting ',' delimiter", window.text, window.position)
            window.skip_spaces()
            place = Place(member, window.line, f"$[{index}]")
            value, text = window.value(decoder, limits)
            yield _record(value, text, place, decoder)
            index += 1
        window.skip_spaces()
        if window.position < len(window.text):
            raise json.JSONDecodeError("Extra data", window.text, window.position)
    except json.JSONDecodeError as error:
        place = Place(member, window.line_of(error.pos))
        yield Record(place, None, json_text.syntax_problem(error, place, window.column_of(error.pos)))
    except RecursionError:
        yield Record(
            Place(member, window.line),
            None,
            json_text.too_deep(Place(member, window.line, f"$[{index}]"), limits),
        )
    except UnicodeDecodeError as error:
        place = Place(member, window.line)
        yield Record(place, None, Problem("json-encoding", place, f"not UTF-8 ({error.reason})"))
    except _TooLarge as error:
        place = Place(member, window.line, f"$[{index}]")
        yield Record(place, None, _too_large(place, error.length, limits))


class _TooLarge(Exception):  # noqa: N818 (named for what happened)
    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length


class _Window:
    """A piece of a long text that moves forwards, counting lines."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self.text = ""
        self.position = 0
        self._first_line = 1
        self._column = 1

    @property
    def line(self) -> int:
        return self.line_of(self.position)

    def line_of(self, position: int) -> int:
        return self._first_line + self.text.count("\n", 0, position)

    def column_of(self, position: int) -> int:
        newline = self.text.rfind("\n", 0, position)
        return position - newline if newline >= 0 else self._column + position

    def grow(self) -> bool:
        """Forgets what was read and reads on; False at the end."""
        column = self.column_of(self.position)
        self._first_line += self.text.count("\n", 0, self.position)
        self._column = column
        more = self._file.read(_CHUNK_CHARACTERS)
        self.text = self.text[self.position :] + more
        self.position = 0
        return bool(more)

    def skip_spaces(self) -> None:
        while True:
            while self.position < len(self.text) and self.text[self.position] in _SPACES:
                self.position += 1
            if self.position < len(self.text) or not self.grow():
                return

    def skip(self, character: str) -> bool:
        """Passes `character`, after spaces, if it is next. Raises JSONDecodeError at the end of the text."""
        self.skip_spaces()
        if self.position == len(self.text):
            raise json.JSONDecodeError("Expecting ',' delimiter or ']'", self.text, self.position)
        found = self.text[self.position] == character
        self.position += found
        return found

    def value(self, decoder: json_text.Decoder, limits: Limits) -> tuple[Any, str]:
        """The next value and its text. Raises JSONDecodeError, RecursionError, _TooLarge."""
        ended = False
        while True:
            try:
                value, end = decoder.parse(self.text, self.position)
            except json.JSONDecodeError as error:
                # Far before the end of what was read, it is an error; near the end, perhaps only a cut.
                if ended or len(self.text) - error.pos > limits.record_bytes:
                    raise
            else:
                if ended or end < len(self.text):
                    return value, self._take(end, limits)
            if len(self.text) - self.position > 2 * limits.record_bytes:
                raise _TooLarge(len(self.text) - self.position)
            ended = not self.grow()

    def _take(self, end: int, limits: Limits) -> str:
        text = self.text[self.position : end]
        if len(text) > limits.record_bytes:
            raise _TooLarge(len(text))
        self.position = end
        return text


def _csv_rows(file: BinaryIO, member: str, limits: Limits) -> Iterator[Record]:
    """The rows below the header as objects of text. A row's line is where it begins."""
    csv.field_size_limit(limits.csv_field_bytes)
    head, begin = file.readline(limits.record_bytes), file.tell()
    file.seek(begin - len(head))
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    # open_clip writes tabs into files named .csv.
    has_tabs = member.endswith(".tsv") or (b"\t" in head and b"," not in head)
    rows = csv.reader(text, delimiter="\t" if has_tabs else ",", strict=True)
    header: list[str] | None = None
    line = 0
    while True:
        place = Place(member, line + 1)
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(
                place, None, Problem("csv-shape", place, f"the row that begins here cannot be read ({error})")
            )
            return
        except UnicodeDecodeError as error:
            yield Record(place, None, Problem("json-encoding", place, f"not UTF-8 ({error.reason})"))
            return
        line = rows.line_num
        if header is None:
            header = [name.strip() for name in row]
        elif len(row) != len(header) and row:
            message = f"the row has {len(row)} fields, the header {len(header)}"
            yield Record(place, None, Problem("csv-shape", place, message))
        elif row:
            value = {name: field for name, field in zip(header, row, strict=True) if field}
            yield Record(Place(member, place.line, "$"), value)


def json_type(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def _too_large(place: Place, length: int, limits: Limits) -> Problem:
    return Problem(
        "record-too-large",
        place,
        f"the record has {length:,} bytes; at most {limits.record_bytes:,} are read",
    )


def not_utf8(error: UnicodeDecodeError, offset: int, place: Place) -> Problem:
    """The problem of bytes that are not UTF-8, in a text that begins at `offset` of the file."""
    byte = error.object[error.start]
    message = f"not UTF-8: byte {byte:#04x} at offset {offset + error.start:,} of the file"
    return Problem("json-encoding", place.at(""), message, f"{byte:#04x}")
