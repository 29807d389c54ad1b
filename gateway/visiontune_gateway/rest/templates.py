"""Path templates of google.api.http: `/v1/{name=projects/*/uploads/*}:complete`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from visiontune_kit.errors import InvalidArgument, Violation

# A verb begins at the last colon, so no segment holds one; ids in resource names never do.
_WILDCARDS = {"*": "[^/:]+", "**": "[^:]*"}
_PIECE = re.compile(r"\{(?P<field>[\w.]+)(?:=(?P<segments>[^}]*))?\}|(?P<text>[^{}]+)")


class UnreadablePath(InvalidArgument):
    """A path segment is not percent-encoded UTF-8."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template."""

    text: str
    fields: tuple[str, ...]  # field paths, in order, for example `dataset.name`
    segments: tuple[str, ...]  # what each field matches, for example `projects/*/datasets/*`
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Compiles `text`; a variable without `=` matches one segment. ValueError when malformed."""
        fields, segments, pattern, end = [], [], "", 0
        for piece in _PIECE.finditer(text):
            if piece.start() != end:
                break
            end = piece.end()
            if piece["field"]:
                fields.append(piece["field"])
                segments.append(piece["segments"] or "*")
                pattern += f"({_regex(segments[-1])})"
            else:
                pattern += _regex(piece["text"])
        if end != len(text) or not text.startswith("/"):
            raise ValueError(f"malformed path template {text!r}")
        return cls(text, tuple(fields), tuple(segments), re.compile(pattern))

    def match(self, raw_path: str) -> Mapping[str, str] | None:
        """Returns field path to value, or None when the path is another's.

        raw_path: as sent, still percent-encoded. `%2F` stays as it is, since it is part of a segment.
        Raises UnreadablePath.
        """
        found = self.pattern.fullmatch(raw_path)
        if found is None:
            return None
        return {
            field: _decode(field, value) for field, value in zip(self.fields, found.groups(), strict=True)
        }


def _regex(segments: str) -> str:
    parts = re.split(r"(\*\*|\*)", segments)
    return "".join(_WILDCARDS.get(part, re.escape(part)) for part in parts)


def _decode(field: str, value: str) -> str:
    try:
        return unquote(re.sub("%2f", "%252F", value, flags=re.IGNORECASE), errors="strict")
    except UnicodeDecodeError as error:
        message = f"{value!r} in the path is not percent-encoded UTF-8."
        raise UnreadablePath(message, violations=[Violation(field, message, "UNREADABLE")]) from error
