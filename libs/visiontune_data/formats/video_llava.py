"""Video-LLaVA's conversations: as LLaVA's, with `video` and <video> where a video stands."""

from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data.example import Draft, Kind
from visiontune_data.exported import ExportedExample
from visiontune_data.formats.format import Format, Notes
from visiontune_data.formats.llava import SPEAKERS, LlavaRecord, media_of, refs_of, turns_of, videos_of
from visiontune_data.formats.turns import marked


class VideoLlavaRecord(LlavaRecord):
    """One conversation. A video is a file, a folder of frames, or a list of frames."""

    video: str | list[str | list[str]] | None = None


def _to_draft(record: VideoLlavaRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    turns = turns_of(record.conversations, "$.conversations", notes, videos=True)
    listed = refs_of(record.image, "$.image"), videos_of(record.video, "$.video")
    return Draft(
        id=None if record.id is None else str(record.id),
        images=turns.place(listed[0], "$.conversations", listed[1]),
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    images, videos = media_of(example, image_paths)
    turns = [
        {"from": SPEAKERS[m.role], "value": marked(m, example.id, "video-llava", videos=True)}
        for m in example.messages
    ]
    media = ({"image": images} if images else {}) | ({"video": videos} if videos else {})
    return {"id": example.id, **media, "conversations": turns}


FORMAT = Format(
    name="video-llava",
    description="Conversations about videos, as Video-LLaVA writes them, with <video> where a video stands.",
    kind=Kind.CHAT_WITH_VIDEO,
    kinds=frozenset({Kind.CHAT_WITH_VIDEO, Kind.CHAT_WITH_IMAGES, Kind.CHAT}),
    file_names=("*.jsonl", "*.json"),
    layout=(
        "train.jsonl          one record a line (or one .json array)\n"
        "videos/0001.mp4      named by the records, relative to the file\n"
        "videos/0002/         or a folder with the frames as images"
    ),
    example_record=(
        '{"id": "1", "video": ["frames/1.jpg", "frames/2.jpg"], "conversations": ['
        '{"from": "human", "value": "<video>\\nWhat happens?"}, {"from": "gpt", "value": "A goal."}]}'
    ),
    record=VideoLlavaRecord,
    to_draft=_to_draft,
    evidence="the records have `conversations`, of which some have a `video`",
    recognises=lambda value: "conversations" in value and not {"images", "videos"} & value.keys(),
    from_example=_from_example,
)
