"""Tells what an image file is by its first bytes, whatever its name says."""

SUFFIXES = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "png": "PNG", "webp": "WEBP",
    "bmp": "BMP", "tif": "TIFF", "tiff": "TIFF", "gif": "GIF",
}  # fmt: skip
UNSUPPORTED_SUFFIXES = frozenset(
    {"svg", "heic", "heif", "avif", "jp2", "ico", "eps", "psd", "raw", "dng", "jxl"}
)
CONTENT_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp",
    "BMP": "image/bmp", "TIFF": "image/tiff", "GIF": "image/gif",
}  # fmt: skip

_READ = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
)
_UNSUPPORTED = (
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftyphev", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (0, b"\x00\x00\x01\x00", "an ICO icon"),
    (0, b"%!PS", "an EPS drawing"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"<svg", "an SVG drawing"),
)
_OTHERS = (
    (0, b"version https://git-lfs", "a Git LFS pointer"),
    (0, b"%PDF", "a PDF document"),
    (4, b"ftyp", "a video (MP4)"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (0, b"RIFF", "a video or sound (RIFF)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"<", "HTML or XML"),
    (0, b"{", "JSON"),
)


def read_kind(data: bytes) -> str | None:
    """Pillow's name of the format if it is one that is read, else None."""
    kind = _match(_READ, data)
    return None if kind == "WEBP" and not data.startswith(b"RIFF") else kind


def unsupported_kind(data: bytes) -> str | None:
    """What the image is, if it is one that is not read."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<") and b"<svg" in head:
        return "an SVG drawing"
    return _match(_UNSUPPORTED, data)


def other_kind(data: bytes) -> str:
    """What a file is that is no image at all, as far as its first bytes tell."""
    return _match(_OTHERS, data.lstrip(b"\xef\xbb\xbf \t\r\n")) or "of an unknown kind"


def _match(table: tuple[tuple[int, bytes, str], ...], data: bytes) -> str | None:
    return next((what for offset, magic, what in table if data.startswith(magic, offset)), None)
