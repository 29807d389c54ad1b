"""Images that are no members of the archive: inside a record, at a URL, or in an earlier version."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from visiontune_data import image_kinds, paths
from visiontune_data.ahead import FetchAhead
from visiontune_data.decoding import Decoder
from visiontune_data.example import ImageRef
from visiontune_data.formats.format import Notes
from visiontune_data.limits import Limits
from visiontune_data.naming import EMBEDDED
from visiontune_data.reading import Content, take_image
from visiontune_data.report import Place
from visiontune_data.spool import Spool
from visiontune_data.text import shorten

DIGEST = re.compile("^sha256:([0-9a-f]{64})$")
_DATA_URL = re.compile(r"^data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_TYPES = frozenset({*image_kinds.CONTENT_TYPES.values(), "image/jpg"})


REFUSED, PRIVATE, FAILED = "image-url-refused", "image-url-private", "image-url-failed"  # rules of a Fetch


class NotFetched(Exception):  # noqa: N818 (named for what happened)
    """An image is not to be had. `rule` is that of the problem."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


Fetch = Callable[[str], bytes]
"""The bytes at an http or https URL. Raises NotFetched."""
Resolve = Callable[[str], bytes | None]
"""The image whose sha256 this is (hex), from what is there already; None when it is not."""


def fetch_nothing(url: str) -> bytes:
    """The Fetch of who allows no host."""
    raise NotFetched(REFUSED, f'"{shorten(url)}" is a URL')


def resolve_nothing(sha256: str) -> bytes | None:
    """The Resolve of who has no earlier images."""
    return None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where images come from that are not in the archive."""

    fetch: Fetch = fetch_nothing
    resolve: Resolve = resolve_nothing


ARCHIVE_ALONE = Sources()


def is_foreign(path: str) -> bool:
    """Whether a record's `path` is that of no member: a URL, or the digest of an image."""
    return paths.is_url(path) or bool(DIGEST.match(path))


@dataclass(slots=True)
class ForeignImages:
    """Takes each such image once, as if the archive had it at a path made of its digest."""

    sources: Sources
    spool: Spool
    decoder: Decoder
    content: Content
    limits: Limits
    ahead: FetchAhead | None = None  # of the same sources
    _paths: dict[str, str] = field(default_factory=dict)  # by URL or digest as written
    _refused: dict[str, NotFetched] = field(default_factory=dict)

    @property
    def wants_more(self) -> bool:
        """Whether it would help to know of further records' images now, to fetch several at once."""
        return self.ahead is not None and not self.ahead.is_busy

    def expect(self, paths: Iterable[str]) -> None:
        """Hears of images that will be looked for, in this order."""
        if self.ahead is not None:
            known = self._paths.keys() | self._refused.keys()
            self.ahead.expect(path for path in paths if _is_fetched(path) and path not in known)

    def find(self, ref: ImageRef, notes: Notes) -> str | None:
        """The path under which the image now is; notes why there is none."""
        if ref.path in self._paths:
            return self._paths[ref.path]
        try:
            path = self._take(self._read(ref.path), notes.at(ref.json_path))
        except NotFetched as error:
            notes.add(error.rule, ref.json_path, str(error), ref.path)
            return None
        if not ref.path.lower().startswith("data:"):
            self._paths[ref.path] = path
        return path

    def _take(self, data: bytes, place: Place) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        kind = image_kinds.read_kind(data)
        suffix = next((suffix for suffix, of in image_kinds.SUFFIXES.items() if of == kind), "jpg")
        path = f"{EMBEDDED}/images/{sha256[:16]}.{suffix}"
        if path not in self.content.places:
            self.content.places[path] = place
            take_image(path, len(data), [data], self.content, self.limits, self.spool, self.decoder)
        return path

    def _read(self, url: str) -> bytes:
        """The image's bytes. What could not be fetched once is not tried again."""
        if url.lower().startswith("data:"):
            return _data_of(url)
        if url in self._refused:
            raise self._refused[url]
        try:
            if found := DIGEST.match(url):
                return self._resolve(found[1])
            return (self.ahead or self.sources.fetch)(url)
        except NotFetched as error:
            self._refused[url] = error
            raise

    def _resolve(self, sha256: str) -> bytes:
        data = self.sources.resolve(sha256)
        if data is None:
            raise NotFetched(
                "image-missing",
                f'neither an upload nor an image of an earlier version is "sha256:{sha256[:12]}…"',
            )
        return data


def _is_fetched(path: str) -> bool:
    return paths.is_url(path) and not path.lower().startswith("data:")


def _data_of(url: str) -> bytes:
    """The bytes inside a data: URL. Raises NotFetched when it is none of an image in base64."""
    if not (head := _DATA_URL.match(url)):
        raise NotFetched("data-url-invalid", "the data: URL has no comma before its data")
    if head[1].lower() not in _TYPES:
        raise NotFetched("data-url-invalid", f'the data: URL is of the type "{shorten(head[1])}"')
    if not head[2].lower().endswith(";base64"):
        raise NotFetched("data-url-invalid", "the data: URL is not in base64")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotFetched("data-url-invalid", f"the data: URL is not valid base64 ({error})") from error
