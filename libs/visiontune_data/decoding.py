"""Decodes spooled images in child processes: they read the spool themselves, so that no image is pickled.

What is pickled are named tuples: they take a fifth of the time of dataclasses, and there are thousands.
"""

import ctypes
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.synchronize import Lock
from pathlib import Path
from typing import Any, NamedTuple, Self

from visiontune_data import images
from visiontune_data.limits import MIB, Limits
from visiontune_data.report import Problem
from visiontune_data.spool import Extent, Spool
from visiontune_data.treatment import AS_THEY_ARE, Treatment

_BATCH_IMAGES = 32
_BATCH_BYTES = 2 * MIB
_SIDE_BY_SIDE = 16  # images; more gain nothing
_THUMBNAILS = "thumbnails-"
_LARGE_IMAGE_PIXELS = 8_000_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


class DecoderDied(Exception):  # noqa: N818 (named for what happened)
    """A decoding process was killed from outside. The import can be begun anew."""


class Task(NamedTuple):
    """One image to decode: the member's path, and where its bytes lie in the spool."""

    path: str
    extent: Extent


class Thumb(NamedTuple):
    """Where a thumbnail lies: the file of the process that wrote it."""

    file: str
    extent: Extent
    width_px: int
    height_px: int


class Result(NamedTuple):
    """What came of a task; the facts are absent when an error is among the problems.

    The task's extent is that of the bytes to store: what the treatment saved is missing at its end.
    """

    task: Task
    problems: tuple[Problem, ...]
    sha256: str = ""
    format: str = ""
    width_px: int = 0
    height_px: int = 0
    thumb: Thumb | None = None
    brightness: int = 0
    phash: int | None = None
    saved_bytes: int = 0


class Decoded:
    """The images that decoded, by path. To ask for one waits for it, in the order of the tasks."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._coming = iter(results)
        self._there: dict[str, Result] = {}

    def find(self, path: str) -> Result | None:
        """What came of an image; None when nobody gave it to decode."""
        while path not in self._there:
            result = next(self._coming, None)
            if result is None:
                return None
            self._there[result.task.path] = result
        return self._there[path]

    def __contains__(self, path: str) -> bool:
        found = self.find(path)
        return found is not None and bool(found.sha256)

    def __getitem__(self, path: str) -> Result:
        if path not in self:
            raise KeyError(path)
        return self._there[path]

    def items(self) -> Iterator[tuple[str, Result]]:
        """All that decoded; waits for the last."""
        self._there.update((result.task.path, result) for result in self._coming)
        return ((path, result) for path, result in self._there.items() if result.sha256)


class Decoder:
    """A pool of decoding processes over one spool. Results come in the order of the tasks.

    The treatment never makes an image longer, so that its new bytes are written over the old.
    With `processes=0` this process decodes. `start_method` is multiprocessing's: "fork" is quick, and right
    only where no library has threads.
    """

    def __init__(
        self, spool: Path, scratch: Path, limits: Limits, processes: int, start_method: str = "spawn",
        treatment: Treatment = AS_THEY_ARE,
    ) -> None:  # fmt: skip
        context = multiprocessing.get_context(start_method)
        arguments = (spool, scratch, limits, treatment, context.Lock())
        self._pool: Executor = (
            ProcessPoolExecutor(processes, context, _begin, arguments) if processes else _Here(*arguments)
        )
        self._ending = ExitStack()
        self._ending.callback(self._pool.shutdown, wait=True, cancel_futures=True)
        self._scratch = scratch
        self._batch: list[Task] = []
        self._batch_bytes = 0
        self._futures: list[Future[list[Result]]] = []
        self.submitted_count = self.done_count = 0

    def submit(self, task: Task) -> None:
        """Queues one image whose bytes are in the spool already."""
        self.submitted_count += 1
        self._batch.append(task)
        self._batch_bytes += task.extent.length
        if len(self._batch) >= _BATCH_IMAGES or self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def results(self) -> Iterator[Result]:
        """All results, waiting for the last. Raises DecoderDied."""
        self._flush()
        try:
            for future in self._futures:
                yield from future.result()
        except BrokenProcessPool as error:
            raise DecoderDied("a decoding process died") from error

    def _flush(self) -> None:
        if not self._batch:
            return
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        try:
            future = self._pool.submit(_decode, batch)
        except BrokenProcessPool as error:
            raise DecoderDied("a decoding process died") from error
        future.add_done_callback(lambda _: self._count(len(batch)))
        self._futures.append(future)

    def _count(self, images: int) -> None:
        self.done_count += images

    def end(self) -> None:
        """Ends the processes and drops what is queued. What came of the others stays."""
        self._ending.close()

    def close(self) -> None:
        """Ends, and removes the thumbnails."""
        self.end()
        for path in self._scratch.glob(f"{_THUMBNAILS}*"):
            path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class _Worker:
    """What a decoding process holds."""

    spool: int
    thumbs: Spool
    limits: Limits
    treatment: Treatment
    one_large_image: Lock

    @classmethod
    def open(
        cls, spool: Path, scratch: Path, limits: Limits, treatment: Treatment, one_large_image: Lock
    ) -> Self:
        thumbs = Spool(scratch / f"{_THUMBNAILS}{os.getpid()}")
        return cls(os.open(spool, os.O_RDWR), thumbs, limits, treatment, one_large_image)


class _Here(Executor):
    """Decodes in this process, at once: for archives too small to start processes for."""

    def __init__(self, *arguments: Any) -> None:
        self._worker = _Worker.open(*arguments)

    def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        """Runs `_decode` with this process's worker."""
        future: Future[Any] = Future()
        future.set_result(_decode_all(arguments[0], self._worker))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Closes the files."""
        os.close(self._worker.spool)
        self._worker.thumbs.leave()


_worker: _Worker | None = None


def _begin(spool: Path, scratch: Path, limits: Limits, treatment: Treatment, one_large_image: Lock) -> None:
    """Prepares a decoding process; it ends with its parent, however that ends."""
    global _worker  # noqa: PLW0603 (a pool's initializer has nowhere else to leave it)
    end_with_parent()
    _keep_freed_memory()
    _worker = _Worker.open(spool, scratch, limits, treatment, one_large_image)


def _keep_freed_memory() -> None:
    """Has glibc keep a little of what is freed: the pixels of the next images need as much.

    Without it their memory may go back to the system after each few images, and come anew page by page: that
    was 0 or 10 % of the time, as small allocations happened to lie. Large images go back at once, always.
    """
    with suppress(AttributeError):  # another library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 * MIB)
        mallopt(_M_TRIM_THRESHOLD, 16 * MIB)


def end_with_parent() -> None:
    """Ends this process as soon as the one that spawned it is gone, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _decode(tasks: Sequence[Task]) -> list[Result]:
    assert _worker is not None  # noqa: S101 (set by _begin)
    return _decode_all(tasks, _worker)


def _decode_all(tasks: Sequence[Task], worker: _Worker) -> list[Result]:
    some = (tasks[at : at + _SIDE_BY_SIDE] for at in range(0, len(tasks), _SIDE_BY_SIDE))
    return [result for each in some for result in _decode_some(each, worker)]


def _decode_some(tasks: Sequence[Task], worker: _Worker) -> list[Result]:
    files = [(os.pread(worker.spool, task.extent.length, task.extent.offset), task.path) for task in tasks]
    is_large = any(images.pixel_count(data) > _LARGE_IMAGE_PIXELS for data, _ in files)
    # Memory grows by one large image in all, not by one a process.
    with worker.one_large_image if is_large else nullcontext():
        inspections = images.inspect_all(files, worker.limits, worker.treatment)
    thumbnails = iter(
        worker.thumbs.append_each([each.decoded.thumbnail.data for each in inspections if each.decoded])
    )
    return [
        _kept(task, data, each.decoded, each.problems, next(thumbnails), worker)
        if each.decoded
        else Result(task, each.problems)
        for task, (data, _), each in zip(tasks, files, inspections, strict=True)
    ]


def _kept(
    task: Task, data: bytes, decoded: images.Decoded, problems: tuple[Problem, ...], thumbnail: Extent,
    worker: _Worker,
) -> Result:  # fmt: skip
    """The result, once what the treatment made is in the spool."""
    saved = len(data) - len(decoded.stored)
    if decoded.stored is not data:
        os.pwrite(worker.spool, decoded.stored, task.extent.offset)
        task = task._replace(extent=Extent(task.extent.offset, len(decoded.stored)))
    thumb = Thumb(str(worker.thumbs.path), thumbnail, decoded.thumbnail.width_px, decoded.thumbnail.height_px)
    return Result(
        task,
        problems,
        decoded.sha256,
        decoded.format,
        decoded.width_px,
        decoded.height_px,
        thumb,
        decoded.brightness,
        decoded.phash,
        saved,
    )
