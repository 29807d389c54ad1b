"""The pool of decoding processes, and what an import leaves when something outside of the data fails."""

import gc
import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from PIL import Image
from visiontune_data.decoding import Decoder, DecoderDied, Task
from visiontune_data.ingest import Progress, Stage, ingest
from visiontune_data.limits import Limits
from visiontune_data.local import LocalSource
from visiontune_data.spool import Spool

from tests.support.archives import HERE, encoded, good, picture, tar


def test_a_killed_process_ends_the_import_instead_of_hanging_it(tmp_path: Path) -> None:
    with Spool(tmp_path / "images") as spool, Decoder(spool.path, tmp_path, Limits(), 1) as decoder:
        for index in range(64):
            decoder.submit(Task(f"{index}.jpg", spool.append([picture(index)])))
        (child,) = multiprocessing.active_children()
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(DecoderDied, match="a decoding process died"):
            list(decoder.results())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("processes", [0, 1])
def test_results_come_in_the_order_of_the_tasks(processes: int, tmp_path: Path) -> None:
    with Spool(tmp_path / "images") as spool, Decoder(spool.path, tmp_path, Limits(), processes) as decoder:
        for index in range(70):
            decoder.submit(Task(f"{index}.jpg", spool.append([picture(index % 5)])))
        results = list(decoder.results())
        decoder.end()
        assert not multiprocessing.active_children()
        assert sum(path.stat().st_size for path in tmp_path.glob("thumbnails-*")) > 0
    assert [result.task.path for result in results] == [f"{index}.jpg" for index in range(70)]
    assert decoder.done_count == 70
    assert list(tmp_path.iterdir()) == []


def test_large_images_take_turns_and_little_more_than_their_own_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visiontune_data.decoding._BATCH_IMAGES", 1)  # so that both processes get some
    side_px = 5_000
    large = encoded(Image.new("RGBA", (side_px, side_px), (9, 9, 9, 99)), "PNG", compress_level=1)
    pixels_bytes = 4 * side_px**2
    with Spool(tmp_path / "images") as spool, Decoder(spool.path, tmp_path, Limits(), 2) as decoder:
        for index in range(8):
            decoder.submit(Task(f"{index}.png", spool.append([picture(1, "PNG")])))
        while decoder.done_count < 8:
            time.sleep(0.01)
        children = multiprocessing.active_children()
        assert len(children) == 2
        idle = peak = resident_bytes(children)
        extent = spool.append([large])
        for index in range(3):
            decoder.submit(Task(f"large-{index}.png", extent))
        while decoder.done_count < 11:
            peak = max(peak, resident_bytes(children))
            time.sleep(0.002)
        assert all(result.sha256 for result in decoder.results())
    # Two at once were 2 already, and a copy in other colours one more each.
    assert 0.9 < (peak - idle) / pixels_bytes < 1.7


def resident_bytes(processes: Iterable[BaseProcess]) -> int:
    """The memory that these processes hold now."""
    pages = (Path(f"/proc/{each.pid}/statm").read_text("ascii").split()[1] for each in processes)
    return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")


def test_progress_is_told_of_the_whole_work_and_never_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visiontune_data.ingest._PROGRESS_EVERY_S", 0.0)
    told: list[Progress] = []
    ingest(LocalSource(io.BytesIO(tar(good(40)))), "d.tar", tmp_path, HERE, progress=told.append)
    percents = [each.percent for each in told]
    assert percents == sorted(percents)
    assert 0 <= percents[0] < 80 <= max(each.percent for each in told if each.stage is Stage.WRITING) <= 99
    assert all(each.percent <= 80 for each in told if each.stage is Stage.READING)


class _Broken(LocalSource):
    """A connection that fails in the middle."""

    def read(self, length: int, /) -> bytes:
        if self._file.tell() > 600:
            raise OSError("connection reset")
        return super().read(min(length, 600))


def test_what_the_source_raises_comes_through_and_nothing_is_left(tmp_path: Path) -> None:
    before = gc.get_threshold(), sys.getswitchinterval()
    with pytest.raises(OSError, match="connection reset"):
        ingest(_Broken(io.BytesIO(tar(good()))), "d.tar", tmp_path, HERE)
    assert list(tmp_path.iterdir()) == []
    assert (gc.get_threshold(), sys.getswitchinterval()) == before
