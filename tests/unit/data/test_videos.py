"""Videos become frames: of a file, of a folder, or listed. What is wrong is said of the record."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from visiontune_data.export import ExportedExample
from visiontune_data.frames import NotAVideo, chosen, sample
from visiontune_data.ingest import Outcome
from visiontune_data.limits import Limits

from tests.support.archives import jsonl, picture, run, tar, texts, video


def record(named: Any, text: str = "<video>\nWhat?") -> dict[str, Any]:
    turns = [{"from": "human", "value": text}, {"from": "gpt", "value": "That."}]
    return {"video": named, "conversations": turns}


def grey(data: bytes) -> int:
    """The tens of a frame's brightness."""
    return round(float(np.asarray(Image.open(io.BytesIO(data)).convert("L")).mean()) / 10)


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.version, texts(outcome.report)
    found: list[dict[str, Any]] = pq.read_table(outcome.version.shards[0].examples.path).to_pylist()
    return found


def test_frames_are_evenly_spaced() -> None:
    assert chosen(8, 8) == [*range(8)]
    assert chosen(3, 8) == [0, 1, 2]
    assert chosen(20, 4) == [2, 7, 12, 17]
    assert chosen(9, 8) == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "mpeg4"), ("mov", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4")]
)
def test_a_file_gives_the_frames_in_the_middle_of_equal_parts(container: str, codec: str) -> None:
    frames = sample(io.BytesIO(video(20, container, codec)), 4, Limits())
    assert [number for number, _ in frames] == [2, 7, 12, 17]
    assert [abs(grey(data) - number) <= 1 for number, data in frames] == [True] * 4
    assert frames == sample(io.BytesIO(video(20, container, codec)), 4, Limits())


@pytest.mark.parametrize("processes", [0, 1])
def test_a_video_is_frames_in_the_shard_and_a_video_in_the_example(processes: int, tmp_path: Path) -> None:
    files = {
        "train.jsonl": jsonl(record("v/c.mp4"), record(["v/c.mp4"], "again <video>")),
        "v/c.mp4": video(20),
    }
    outcome = run(tar(files), tmp_path, frames_per_video=4, processes=processes)
    first, second = rows(outcome)
    assert outcome.version
    assert outcome.version.kinds == ("chat-with-video",)
    assert [image["path"] for image in first["images"]] == [
        f"v/c.mp4.frames/{n:06d}.jpg" for n in (2, 7, 12, 17)
    ]
    assert [part["type"] for part in first["messages"][0]["content"]] == ["image"] * 4 + ["text"]
    assert first["frames"] == [{"first": 0, "count": 4}]
    assert outcome.version.statistics.image_count == 4
    assert [part.frames for part in ExportedExample.from_row(second).messages[0].content] == [0, 4]


def test_a_folder_is_its_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = {f"v/frame{n}.jpg": picture(n) for n in range(1, 13)}
    files = {"train.jsonl": jsonl(record("v")), **frames}
    outcome = run(tar(files), tmp_path, frames_per_video=3)
    assert [image["path"] for image in rows(outcome)[0]["images"]] == [f"v/frame{n}.jpg" for n in (3, 7, 11)]
    assert texts(outcome.report, "image-unused") == []


def test_parts_of_messages_may_be_videos_among_images(tmp_path: Path) -> None:
    parts = [
        {"type": "image", "image": "a.jpg"},
        {"type": "video", "video": ["b.jpg", "c.jpg"]},
        {"type": "video"},
    ]
    asked = {"role": "user", "content": [*parts, {"type": "text", "text": "?"}]}
    made = {"messages": [asked, {"role": "assistant", "content": "!"}], "videos": ["v.mp4"]}
    pictures = {f"{name}.jpg": picture(n) for n, name in enumerate("abc")}
    [row] = rows(run(tar({"t.jsonl": jsonl(made), "v.mp4": video(5), **pictures}), tmp_path))
    assert row["frames"] == [{"first": 1, "count": 2}, {"first": 3, "count": 5}]
    assert [part.frames for part in ExportedExample.from_row(row).messages[0].content] == [0, 2, 5, 0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is no MP4, QuickTime, WebM, Matroska or AVI video"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "the file is no MP4, QuickTime, WebM, Matroska or AVI video"),
        (video(20)[:400], "the video cannot be decoded ("),
        (b"\0\0\0\x18ftypmp42" + b"x" * 500, "the video cannot be decoded ("),
    ],
)
def test_a_file_that_is_no_video_takes_its_record(data: bytes, said: str, tmp_path: Path) -> None:
    files = {"t.jsonl": jsonl(record("v.mp4"), record("w.mp4")), "v.mp4": data, "w.mp4": video(3)}
    outcome = run(tar(files), tmp_path, "d.tar", skip_errors=True)
    assert outcome.report.example_count == 1
    assert texts(outcome.report, "video-corrupt")[0].startswith(
        f'd.tar › t.jsonl:1 › $.video: "v.mp4": {said}'
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(video_bytes=100), "the file has more than 100 bytes"),
        (Limits(video_frames=10), "the video has more than 10 frames"),
        (Limits(image_pixels=1_000), "64 x 48 pixels; at most 1,000 are decoded"),
    ],
)
def test_a_video_beyond_a_limit_is_refused(limits: Limits, said: str, tmp_path: Path) -> None:
    files = {"t.jsonl": jsonl(record("v.mp4")), "v.mp4": video(20)}
    found = texts(run(tar(files), tmp_path, limits=limits).report, "video-corrupt")
    assert said in found[0]


def test_a_video_that_is_not_there(tmp_path: Path) -> None:
    files = {"t.jsonl": jsonl(record("v.mp4"), record("../v.mp4"), record("https://h/v.mp4"))}
    found = texts(run(tar(files), tmp_path, "d.tar").report)
    assert any(
        line.startswith('d.tar › t.jsonl:1 › $.video: no video "v.mp4" in the archive.') for line in found
    )
    assert any("leads out of the archive" in line for line in found)
    assert any("is a URL" in line for line in found)


def test_sound_alone_has_no_frames() -> None:
    with pytest.raises(NotAVideo, match=r"cannot be decoded|only sound"):
        sample(io.BytesIO(b"RIFF" + b"\0" * 4 + b"WAVEfmt " + b"\0" * 100), 4, Limits())


def test_the_frames_of_all_videos_count_as_images_of_the_record(tmp_path: Path) -> None:
    files = {"t.jsonl": jsonl(record(["v.mp4"] * 9, "<video>" * 9)), "v.mp4": video(8)}
    found = texts(run(tar(files), tmp_path, "d.tar").report, "too-many-images")
    assert found[0].startswith(
        "d.tar › t.jsonl:1 › $.video[0]: 72 images; at most 64 are accepted in one record."
    )


def test_a_video_of_no_frames_is_a_problem_and_one_of_a_picture_a_video(tmp_path: Path) -> None:
    asked = [{"type": "video", "video": []}, {"type": "text", "text": "?"}]
    empty = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "!"}]}
    found = texts(run(tar({"t.jsonl": jsonl(empty)}), tmp_path).report, "video-missing")
    assert "$.messages[0].content[0].video: the video has no frames." in found[0]
    url = f"data:image/jpeg;base64,{base64.b64encode(picture(1)).decode()}"
    [row] = rows(run(tar({"t.jsonl": jsonl(record(url))}), tmp_path))
    assert row["frames"] == [{"first": 0, "count": 1}]
