"""Videos that records name: a file whose frames a process of its own takes, or images that are the frames."""

import multiprocessing
import posixpath
import re
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from visiontune_data import image_kinds, paths
from visiontune_data.decoding import Decoder, end_with_parent
from visiontune_data.example import ImageRef, VideoRef
from visiontune_data.foreign import is_foreign
from visiontune_data.formats import Notes
from visiontune_data.frames import Frame, NotAVideo, chosen, sample
from visiontune_data.limits import Limits
from visiontune_data.matching import ImageIndex, candidates
from visiontune_data.reading import Content, take_image
from visiontune_data.spool import Extent, Spool
from visiontune_data.text import shorten

_DIGITS = re.compile(r"(\d+)")


@dataclass(slots=True)
class Videos:
    """Gives a video's frames, at most `wanted`, as paths of images. `used` are all images that were named.

    With `processes=0` this process decodes; else libav is in one of its own, which it may take down.
    """

    content: Content
    index: ImageIndex
    spool: Spool
    decoder: Decoder
    limits: Limits
    wanted: int
    processes: int
    used: set[str] = field(default_factory=set)
    _taken: dict[str, list[str] | NotAVideo] = field(default_factory=dict)  # by path of the file
    _pool: ProcessPoolExecutor | None = None

    def find(self, ref: VideoRef, record_file: str, notes: Notes) -> list[str]:
        """The paths of the frames; notes why there are none."""
        if not ref.paths:
            notes.add("video-missing", ref.json_path, "the video has no frames")
        if len(ref.paths) != 1 or paths.suffix(ref.paths[0]) in image_kinds.SUFFIXES:
            refs = [ImageRef(path, f"{ref.json_path}[{index}]") for index, path in enumerate(ref.paths)]
            found = [self.index.find(each, record_file, notes) for each in refs]
            return self._sampled([path for path in found if path])
        [path] = ref.paths
        if is_foreign(path) or paths.is_unsafe(path):
            frame = self.index.find(ImageRef(path, ref.json_path), record_file, notes)
            return [frame] if frame else []
        for candidate in candidates(path, record_file):
            if candidate in self.content.videos:
                return self._of_file(candidate, ref, notes)
            if frames := self.index.below(candidate):
                return self._sampled(sorted(frames, key=_in_order))
        notes.add("video-missing", ref.json_path, f'no video "{shorten(path)}" in the archive', path)
        return []

    def _sampled(self, frames: list[str]) -> list[str]:
        self.used.update(frames)
        return [frames[number] for number in chosen(len(frames), self.wanted)]

    def _of_file(self, path: str, ref: VideoRef, notes: Notes) -> list[str]:
        """The frames of a video file, taken when it is first named."""
        if path not in self._taken:
            try:
                self._taken[path] = [self._take(path, frame) for frame in self._frames(path)]
            except NotAVideo as error:
                self._taken[path] = error
        found = self._taken[path]
        if isinstance(found, NotAVideo):
            notes.add("video-corrupt", ref.json_path, f'"{shorten(path)}": {found}', path)
            return []
        return found

    def _take(self, video: str, frame: Frame) -> str:
        number, data = frame
        path = f"{video}.frames/{number:06d}.jpg"
        take_image(path, len(data), [data], self.content, self.limits, self.spool, self.decoder)
        self.used.add(path)
        return path

    def _frames(self, path: str) -> list[Frame]:
        extent = self.content.videos[path]
        if extent is None:
            raise NotAVideo(f"the file has more than {self.limits.video_bytes:,} bytes")
        task = (self.spool.path, extent, self.wanted, self.limits)
        if not self.processes:
            return _sample(*task)
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # other threads run already: no fork
            self._pool = ProcessPoolExecutor(1, context, end_with_parent)
        try:
            return self._pool.submit(_sample, *task).result(self.limits.video_seconds)
        except (BrokenProcessPool, TooLong) as error:
            self.close()
            what = (
                "takes too long to decode"
                if isinstance(error, TooLong)
                else "ended the process that decoded it"
            )
            raise NotAVideo(f"the video {what}") from error

    def close(self) -> None:
        """Ends the process, also in the middle of a video."""
        if self._pool:
            for process in list(self._pool._processes.values()):  # noqa: SLF001 (there is no other way)
                process.kill()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _sample(spool: Path, extent: Extent, wanted: int, limits: Limits) -> list[Frame]:
    opened = Spool(spool, existing=True)
    with opened.open(extent) as file:
        return sample(file, wanted, limits)


def _in_order(path: str) -> list[str | int]:
    """A key that sorts frame 2 before frame 10."""
    return [
        int(piece) if index % 2 else piece
        for index, piece in enumerate(_DIGITS.split(posixpath.basename(path)))
    ]
