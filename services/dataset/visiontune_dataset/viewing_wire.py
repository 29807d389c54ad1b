"""Between proto messages and what is looked at: examples, pictures, changes, numbers; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_data import previews
from visiontune_data.comparing import Change, Comparison
from visiontune_data.index import Order
from visiontune_data.senses import SenseCount
from visiontune_data.statistics import Distribution, Statistics
from visiontune_recipes.augmentation import Augmentation
from visiontune_recipes.resolve import DEFAULT_SEED

from visiontune_dataset import wire
from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.use_cases.links import ExampleLinks
from visiontune_dataset.use_cases.previews import Preview, PreviewAugmentation
from visiontune_dataset.use_cases.versions import Selection, ShownExample, ShownThumbnail

_PARTS = {
    "text": pb.ContentPart.TYPE_TEXT,
    "image": pb.ContentPart.TYPE_IMAGE,
    "video": pb.ContentPart.TYPE_VIDEO,
}
_DEFAULT_PREVIEWS = 8
_DEFAULT_SIDE_PX = 512


def selection_from(request: pb.ListExamplesRequest | pb.GetThumbnailsRequest) -> Selection:
    """Reads which examples are meant, and in which order; thumbnails have none."""
    order = request.order_by if isinstance(request, pb.ListExamplesRequest) else ""
    return Selection(request.split, request.filter, request.query, Order(order) if order else None)


def example_to(version: Version, shown: ShownExample) -> pb.Example:
    """Writes a row."""
    content = shown.content
    return pb.Example(
        name=f"{version.name}/examples/{shown.row}",
        example_id=content["id"],
        messages=[message_to(message) for message in content["messages"]],
        texts=content["texts"],
        images=[_image_to(*image) for image in content["images"]],
        split=content["split"],
        metadata_json="" if content["metadata"] == "{}" else content["metadata"],
        tags=previews.tags_in(content["metadata"]),
        problems=content.get("problems", ()),
    )


def message_to(message: Mapping[str, Any]) -> pb.Message:
    """Writes one turn of a conversation, out of the preview's JSON."""
    parts = [
        pb.ContentPart(type=_PARTS[part["type"]], text=part["text"] or "", frame_count=part.get("frames", 0))
        for part in message["content"]
    ]
    return pb.Message(role=message["role"], content=parts)


def _image_to(
    path: str, sha256: str, width_px: int, height_px: int, kind: str, size: int, brightness: int = 0, *_: Any
) -> pb.ExampleImage:
    return pb.ExampleImage(
        path=path,
        sha256=sha256,
        width_px=width_px,
        height_px=height_px,
        format=kind,
        size_bytes=size,
        brightness=brightness,
    )


def thumbnail_to(version: Version, shown: ShownThumbnail) -> pb.Thumbnail:
    """Writes a row's picture."""
    return pb.Thumbnail(
        example=f"{version.name}/examples/{shown.row}",
        content_type="image/jpeg" if shown.data else "",
        data=shown.data,
        width_px=shown.width_px,
        height_px=shown.height_px,
    )


def links_to(version: Version, found: Sequence[ExampleLinks], end: datetime) -> pb.SignImageLinksResponse:
    """Writes the links of some rows."""
    return pb.SignImageLinksResponse(
        links=[
            pb.ImageLinks(
                example=f"{version.name}/examples/{each.row}",
                thumbnail_url=each.thumbnail,
                image_urls=each.images,
            )
            for each in found
        ],
        expire_time=wire.timestamp(end),
    )


def comparison_to(
    before: tuple[Version, Sequence[ShownExample]],
    after: tuple[Version, Sequence[ShownExample]],
    found: Comparison,
    page: Sequence[Change],
    next_page_token: str,
) -> pb.CompareVersionsResponse:
    """Writes a page of changes, with the examples of both versions that they name."""
    old, new = ({each.row: example_to(version, each) for each in shown} for version, shown in (before, after))
    return pb.CompareVersionsResponse(
        base=before[0].name,
        changes=[
            pb.ExampleChange(
                example_id=change.example,
                fields=change.fields,
                before=None if change.before is None else old[change.before],
                after=None if change.after is None else new[change.after],
            )
            for change in page
        ],
        next_page_token=next_page_token,
        added_count=found.added_count,
        removed_count=found.removed_count,
        changed_count=found.changed_count,
    )


def statistics_to(version: Version, found: Statistics) -> pb.Statistics:
    """Writes a version's numbers."""
    return pb.Statistics(
        name=f"{version.name}/statistics",
        example_count=found.example_count,
        image_count=found.image_count,
        image_bytes=found.image_bytes,
        split_counts=found.split_counts,
        format_counts=found.format_counts,
        width_px=_distribution_to(found.width_px),
        height_px=_distribution_to(found.height_px),
        text_length=_distribution_to(found.text_length),
        messages_per_example=_distribution_to(found.messages_per_example),
        images_per_example=_distribution_to(found.images_per_example),
        top_answers=[pb.LabelCount(label=label, count=count) for label, count in found.top_answers],
        distinct_answer_count=found.distinct_answer_count,
        duplicate_example_count=found.duplicate_example_count,
        token_count=_distribution_to(found.token_count),
        answer_token_count=_distribution_to(found.answer_token_count),
        aspect_ratio=_distribution_to(found.aspect_ratio),
        size_bytes=_distribution_to(found.size_bytes),
        brightness=_distribution_to(found.brightness),
        text_senses=None if found.text_senses is None else _senses_to(found.text_senses),
    )


def _senses_to(found: Sequence[SenseCount]) -> pb.TextSenses:
    return pb.TextSenses(
        senses=[
            pb.TextSense(
                sense=pb.TextSense.Sense.Value(f"SENSE_{each.sense}"),
                example_count=each.example_count,
                words=[pb.LabelCount(label=word, count=count) for word, count in each.words],
            )
            for each in found
        ]
    )


def _distribution_to(found: Distribution) -> pb.Distribution:
    return pb.Distribution(
        count=found.count,
        min=found.min,
        max=found.max,
        mean=found.mean,
        median=found.median,
        histogram=[pb.Bin(lower=each.lower, upper=each.upper, count=each.count) for each in found.histogram],
    )


def preview_from(request: pb.PreviewAugmentationRequest) -> PreviewAugmentation:
    """Reads the request, with its defaults."""
    policy = MessageToDict(request.augmentation, preserving_proto_field_name=True)
    return PreviewAugmentation(
        augmentation=Augmentation.model_validate(policy),
        rows=sorted(request.rows),
        count=request.count or _DEFAULT_PREVIEWS,
        seed=request.seed if request.HasField("seed") else DEFAULT_SEED,
        model_preset=request.model_preset,
        side_px=request.side_px or _DEFAULT_SIDE_PX,
    )


def preview_to(version: Version, found: Preview) -> pb.PreviewAugmentationResponse:
    """Writes what training would see."""
    answer = pb.PreviewAugmentationResponse(
        examples=[
            pb.AugmentedExample(
                example=f"{version.name}/examples/{row}",
                content_type="image/jpeg",
                original=shown.original,
                augmented=shown.augmented,
                width_px=shown.width_px,
                height_px=shown.height_px,
            )
            for row, shown in found.pictures
        ],
        warnings=[f"{problem.message} {problem.remedy}" for problem in found.warnings],
    )
    if found.resolved is not None:
        resolved = found.resolved.model_dump(mode="json", exclude_none=True)
        ParseDict(resolved, answer.resolved_augmentation)
    return answer
