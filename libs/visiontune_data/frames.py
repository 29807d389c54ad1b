"""Takes still frames out of a video file, evenly spaced: what models of videos are given of one."""

from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import simplejpeg

from visiontune_data.limits import Limits
from visiontune_data.text import shorten

SUFFIXES = frozenset({"mp4", "m4v", "mov", "webm", "mkv", "avi"})
_QUALITY = 95
# Only these are opened: others of FFmpeg's formats are playlists, which name files and URLs to read.
_FORMATS = ((4, b"ftyp", "mp4"), (0, b"\x1aE\xdf\xa3", "matroska"), (0, b"RIFF", "avi"))
_HEAD_BYTES = 16

Frame = tuple[int, bytes]  # its number in the video, and the picture as JPEG


class NotAVideo(Exception):  # noqa: N818 (named for what happened)
    """No frames can be had of a file; the message says why."""


def chosen(count: int, wanted: int) -> list[int]:
    """Which of `count` frames are taken: all, or the middle ones of `wanted` equal parts."""
    return (
        [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]
        if count > wanted
        else [*range(count)]
    )


def sample(file: IO[bytes], wanted: int, limits: Limits) -> list[Frame]:
    """The chosen frames of a video, upright. Raises NotAVideo; libav may end the process on bad data."""
    import av  # noqa: PLC0415 (only imports of videos need it)

    head = file.read(_HEAD_BYTES)
    file.seek(0)
    name = next((name for offset, magic, name in _FORMATS if head.startswith(magic, offset)), None)
    if name is None:
        raise NotAVideo("the file is no MP4, QuickTime, WebM, Matroska or AVI video")
    try:
        numbers = chosen(_count(file, name, limits), wanted)
        with av.open(file, "r", format=name) as container:
            return _read(container, numbers)
    except av.FFmpegError as error:
        raise NotAVideo(f"the video cannot be decoded ({shorten(error.strerror or str(error))})") from error


def _count(file: IO[bytes], name: str, limits: Limits) -> int:
    """Frames of the video's first stream, by its packets: nothing is decoded."""
    import av  # noqa: PLC0415

    with av.open(file, "r", format=name) as container:
        if not container.streams.video:
            raise NotAVideo("the file has no pictures, only sound")
        stream = container.streams.video[0]
        if stream.width * stream.height > limits.image_pixels:
            raise NotAVideo(
                f"{stream.width:,} x {stream.height:,} pixels; at most {limits.image_pixels:,} are decoded"
            )
        count = 0
        for packet in container.demux(stream):
            count += packet.size > 0
            if count > limits.video_frames:
                raise NotAVideo(f"the video has more than {limits.video_frames:,} frames")
    file.seek(0)
    return count


def _read(container: Any, numbers: Sequence[int]) -> list[Frame]:
    wanted, frames = set(numbers), []
    for number, frame in enumerate(container.decode(video=0)):
        if number in wanted:
            frames.append((number, _encoded(frame)))
        if number >= numbers[-1]:
            break
    if not frames:
        raise NotAVideo("the video has no frames")
    return frames


def _encoded(frame: Any) -> bytes:
    upright = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    return bytes(simplejpeg.encode_jpeg(upright, _QUALITY, "RGB", "444"))
