"""Rules for member paths and for the paths that records write. Nothing here touches a file system."""

import re
import unicodedata
from urllib.parse import unquote

from visiontune_data.limits import Limits
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten

# Nearly every path: safe, and in the form in which paths are compared.
_NORMAL = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", re.ASCII)
_ABSOLUTE = re.compile(r"^(?:[/\\]|[A-Za-z]:[/\\])")
_URL = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|data:)", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_JUNK_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_JUNK_FOLDERS = frozenset({"__MACOSX", "@eaDir", ".git"})


def normalise(path: str) -> str:
    """The form in which paths are compared: slashes, NFC, no `.` segments or double slashes."""
    if _NORMAL.fullmatch(path):
        return path
    parts = unicodedata.normalize("NFC", path.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in {"", "."})


def is_unsafe(path: str) -> bool:
    """Whether `path` is absolute, leads upwards or names a scheme such as `file:`."""
    return (
        bool(_ABSOLUTE.match(path))
        or path.lower().startswith("file:")
        or ".." in path.replace("\\", "/").split("/")
    )


def is_url(path: str) -> bool:
    """Whether `path` is a URL rather than a path."""
    return bool(_URL.match(path)) and not path.lower().startswith("file:")


def is_junk(path: str) -> bool:
    """Whether an operating system put the member there, and nobody means it."""
    parts = path.split("/")
    name = parts[-1]
    return name.startswith("._") or name.lower() in _JUNK_NAMES or not _JUNK_FOLDERS.isdisjoint(parts[:-1])


def suffix(path: str) -> str:
    """The lower-case suffix of the last segment without its dot; "" where there is none."""
    stem, dot, ending = path.rpartition("/")[2].rpartition(".")
    return ending.lower() if dot and stem else ""


def loose(path: str) -> str:
    """The form in which paths are compared when they do not match exactly: no case, no percent-encoding."""
    return normalise(unquote(path)).casefold()


def broken_rule(raw: str, limits: Limits) -> Problem | None:
    """The first rule that a member's raw path breaks and that stops the import, or None."""
    if len(raw) <= limits.path_bytes and _NORMAL.fullmatch(raw):
        return None
    if _SURROGATE.search(raw):
        return _broken("path-not-utf8", raw, "is not UTF-8")
    if _CONTROL.search(raw):
        return _broken("path-control", raw, "contains control characters")
    if _ABSOLUTE.match(raw):
        return _broken("path-absolute", raw, "is absolute")
    if ".." in raw.replace("\\", "/").split("/"):
        return _broken("path-traversal", raw, "leads out of the archive")
    if (size := len(raw.encode())) > limits.path_bytes:
        found = f"the path has {size:,} bytes; at most {limits.path_bytes:,} are read"
        return Problem("path-too-long", Place(raw), found, shorten(raw))
    return None


def _broken(rule: str, raw: str, how: str) -> Problem:
    shown = shorten(raw)
    return Problem(rule, Place(raw), f'the path "{shown}" {how}', shown)


def is_same_text(one: str, other: str) -> bool:
    """Whether two paths are equal but for slashes and `.` segments, without composing their letters."""

    def plain(path: str) -> list[str]:
        return [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]

    return plain(one) == plain(other)
