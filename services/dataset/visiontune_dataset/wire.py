"""Between proto messages and the domain; pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from visiontune import reports
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_data import archive, previews
from visiontune_data.comparing import Change, Comparison
from visiontune_data.compression import DEFAULT_QUALITY, Policy, Target
from visiontune_data.example import Kind
from visiontune_data.export import Archive
from visiontune_data.formats import Format
from visiontune_data.index import Order
from visiontune_data.joining import Mode
from visiontune_data.senses import SenseCount
from visiontune_data.statistics import Distribution, Statistics
from visiontune_data.treatment import Treatment
from visiontune_recipes.augmentation import Augmentation
from visiontune_recipes.resolve import DEFAULT_SEED

from visiontune_dataset.domain.datasets import Dataset, Version
from visiontune_dataset.domain.exports import Export, ExportState
from visiontune_dataset.domain.failures import ExampleNotFound, VersionNotFound
from visiontune_dataset.domain.imports import GoesOn, ImportState, unavailable_reason
from visiontune_dataset.ports import SignedUrl
from visiontune_dataset.ports.database import StoredReport
from visiontune_dataset.use_cases.datasets import CreateDataset, UpdateDataset
from visiontune_dataset.use_cases.imports import StartImport
from visiontune_dataset.use_cases.links import ExampleLinks
from visiontune_dataset.use_cases.previews import Preview, PreviewAugmentation
from visiontune_dataset.use_cases.versions import Selection, ShownExample, ShownThumbnail

_KINDS = {
    Kind.CHAT_WITH_IMAGES.value: pb.EXAMPLE_KIND_CHAT_WITH_IMAGES,
    Kind.CHAT.value: pb.EXAMPLE_KIND_CHAT,
    Kind.CAPTIONED_IMAGE.value: pb.EXAMPLE_KIND_CAPTIONED_IMAGE,
    Kind.CHAT_WITH_VIDEO.value: pb.EXAMPLE_KIND_CHAT_WITH_VIDEO,
    Kind.RETRIEVAL.value: pb.EXAMPLE_KIND_RETRIEVAL,
    Kind.PREFERENCE.value: pb.EXAMPLE_KIND_PREFERENCE,
}
_PARTS = {
    "text": pb.ContentPart.TYPE_TEXT,
    "image": pb.ContentPart.TYPE_IMAGE,
    "video": pb.ContentPart.TYPE_VIDEO,
}
_DEFAULT_PREVIEWS = 8
_DEFAULT_SIDE_PX = 512
_ARCHIVES: Mapping[int, Archive] = {
    pb.ExportVersionRequest.ARCHIVE_UNSPECIFIED: "tar.gz",
    pb.ExportVersionRequest.ARCHIVE_TAR_GZ: "tar.gz",
    pb.ExportVersionRequest.ARCHIVE_TAR: "tar",
    pb.ExportVersionRequest.ARCHIVE_ZIP: "zip",
}
_TARGETS = {
    pb.ImagePolicy.FORMAT_UNSPECIFIED: Target.KEEP,
    pb.ImagePolicy.FORMAT_JPEG: Target.JPEG,
    pb.ImagePolicy.FORMAT_WEBP: Target.WEBP,
}
_MODES: Mapping[int, Mode] = {pb.IMPORT_MODE_APPEND: Mode.APPEND, pb.IMPORT_MODE_REPLACE: Mode.REPLACE}
_DEFAULT_TTL = timedelta(hours=1)
_DEFAULT_VALIDATION_FRACTION = 0.1


def segments(name: str) -> list[str]:
    """`projects/p/datasets/d/…` as its ids: `["p", "d", …]`; the proto's rules have checked the form."""
    return name.split("/")[1::2]


def below_dataset(name: str) -> tuple[str, str, str]:
    """Project, dataset and the third id of `projects/p/datasets/d/drafts/x`."""
    project, dataset_id, own = segments(name)
    return project, dataset_id, own


def version_number(name: str) -> int:
    """The number in `…/versions/v7`. Raises VersionNotFound for anything else."""
    prefix, _, digits = segments(name)[2].partition("v")
    if prefix or not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise VersionNotFound(name)
    return int(digits)


def version_key(name: str) -> tuple[str, str, int]:
    """Project, dataset and number of a version that `name` is, or lies below. Raises VersionNotFound."""
    project, dataset_id = segments(name)[:2]
    return project, dataset_id, version_number(name)


def row_number(name: str) -> int:
    """The number in `…/examples/12`. Raises ExampleNotFound for anything else."""
    digits = name.rpartition("/")[2]
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise ExampleNotFound(name, "examples are named by their row number, from 0")
    return int(digits)


def create_dataset_from(request: pb.CreateDatasetRequest, uid: str) -> CreateDataset:
    """Reads the request; output-only fields are ignored."""
    return CreateDataset(
        project=segments(request.parent)[0],
        id=request.dataset_id,
        uid=uid,
        display_name=request.dataset.display_name,
        description=request.dataset.description,
    )


def update_dataset_from(request: pb.UpdateDatasetRequest) -> UpdateDataset:
    """Reads the request."""
    project, dataset_id = segments(request.dataset.name)
    return UpdateDataset(
        project=project,
        id=dataset_id,
        display_name=request.dataset.display_name,
        description=request.dataset.description,
        etag=request.dataset.etag,
        paths=list(request.update_mask.paths),
    )


def start_import_from(request: pb.ImportVersionRequest) -> StartImport:
    """Reads the request, with its defaults."""
    project, dataset_id = segments(request.parent)
    has_fraction = request.HasField("validation_fraction")
    return StartImport(
        project=project,
        dataset=dataset_id,
        uploads=tuple(dict.fromkeys([request.upload, *request.uploads])),
        format=request.format,
        skip_errors=request.on_error == pb.ON_ERROR_SKIP,
        validation_fraction=request.validation_fraction if has_fraction else _DEFAULT_VALIDATION_FRACTION,
        treatment=Treatment(request.strip_metadata, _policy_from(request)),
        base=_goes_on_from(request),
    )


def _goes_on_from(request: pb.ImportVersionRequest) -> GoesOn | None:
    if request.mode == pb.IMPORT_MODE_UNSPECIFIED:
        return None
    return GoesOn(version_beside(request.base_version, request.parent), _MODES[request.mode])


def _policy_from(request: pb.ImportVersionRequest) -> Policy | None:
    if not request.HasField("image_policy"):
        return None
    asked = request.image_policy
    return Policy(asked.largest_side_px, _TARGETS[asked.format], asked.quality or DEFAULT_QUALITY)


def base_of(base: str, beside: str) -> int | None:
    """The number of a version of `beside`'s dataset; None if empty. Raises VersionNotFound."""
    return version_beside(base, beside) if base else None


def version_beside(name: str, beside: str) -> int:
    """The number of a version of `beside`'s dataset. Raises VersionNotFound."""
    if segments(name)[:2] != segments(beside)[:2]:
        raise VersionNotFound(name)
    return version_number(name)


def ttl_from(request: pb.GetReadManifestRequest | pb.SignImageLinksRequest) -> timedelta:
    """How long URLs shall work."""
    return request.ttl.ToTimedelta() if request.HasField("ttl") else _DEFAULT_TTL


def dataset_to(dataset: Dataset) -> pb.Dataset:
    """Writes the resource."""
    latest = f"{dataset.name}/versions/v{dataset.latest_version}" if dataset.latest_version else ""
    return pb.Dataset(
        name=dataset.name,
        uid=dataset.uid,
        display_name=dataset.display_name or dataset.id,
        description=dataset.description,
        latest_version=latest,
        version_count=dataset.version_count,
        create_time=timestamp(dataset.created_at),
        update_time=timestamp(dataset.updated_at),
        etag=dataset.etag,
        purge_time=timestamp(dataset.purge_at) if dataset.purge_at else None,
    )


def version_to(version: Version) -> pb.DatasetVersion:
    """Writes the resource."""
    return pb.DatasetVersion(
        name=version.name,
        digest=version.digest,
        manifest_sha256=version.manifest_sha256,
        format=version.format,
        kinds=[_KINDS[kind] for kind in version.kinds],
        example_count=version.example_count,
        image_count=version.image_count,
        size_bytes=version.size_bytes,
        shard_count=len(version.shards),
        split_counts=version.split_counts,
        validation_report=f"{version.dataset_name}/validationReports/{version.report_id}",
        source_filename=version.source_filename,
        source_sha256=version.source_sha256,
        create_time=timestamp(version.created_at),
        parent_version=f"{version.dataset_name}/versions/v{version.parent}" if version.parent else "",
        draft=f"{version.dataset_name}/drafts/{version.draft}" if version.draft else "",
        uploads=version.uploads,
        purge_time=timestamp(version.purge_at) if version.purge_at else None,
    )


def import_metadata_to(state: ImportState) -> pb.ImportVersionMetadata:
    """Writes what those who poll an import see."""
    return pb.ImportVersionMetadata(
        dataset=state.dataset,
        stage=pb.ImportVersionMetadata.Stage.ValueType(state.stage),
        progress_percent=state.percent,
        read_bytes=state.read_bytes,
        total_bytes=state.total_bytes,
        image_count=state.image_count,
        record_count=state.record_count,
        error_count=state.error_count,
        warning_count=state.warning_count,
        validation_report=state.validation_report,
        unchanged=state.unchanged,
        create_time=timestamp(state.created_at),
        update_time=timestamp(state.updated_at),
        restart_count=state.restart_count,
        format_reason=state.format_reason,
        saved_bytes=state.saved_bytes,
    )


def selection_from(request: pb.ListExamplesRequest | pb.GetThumbnailsRequest) -> Selection:
    """Reads which examples are meant, and in which order; thumbnails have none."""
    order = request.order_by if isinstance(request, pb.ListExamplesRequest) else ""
    return Selection(request.split, request.filter, request.query, Order(order) if order else None)


def export_metadata_to(state: ExportState) -> pb.ExportVersionMetadata:
    """Writes what those who poll an export see."""
    return pb.ExportVersionMetadata(
        version=state.version,
        progress_percent=state.percent,
        example_count=state.example_count,
        create_time=timestamp(state.created_at),
        update_time=timestamp(state.updated_at),
        restart_count=state.restart_count,
    )


def export_to(export: Export, url: SignedUrl) -> pb.Export:
    """Writes the resource."""
    return pb.Export(
        name=export.name,
        version=f"{export.dataset_name}/versions/v{export.version}",
        format=export.format,
        filename=export.filename,
        size_bytes=export.size_bytes,
        sha256=export.sha256,
        example_count=export.example_count,
        image_count=export.image_count,
        create_time=timestamp(export.created_at),
        expire_time=timestamp(export.expires_at),
        url=url.url,
        url_expire_time=timestamp(url.expires_at),
    )


def archive_from(request: pb.ExportVersionRequest) -> Archive:
    """The kind of archive that is wanted."""
    return _ARCHIVES[request.archive]


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
        expire_time=timestamp(end),
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


def report_to(stored: StoredReport) -> pb.ValidationReport:
    """Writes what an import found."""
    return reports.report_to(
        stored.report,
        name=f"projects/{stored.project}/datasets/{stored.dataset}/validationReports/{stored.id}",
        version=stored.version,
        create_time=timestamp(stored.created_at),
        in_progress=stored.in_progress,
    )


def format_to(each: Format, *, vision_enabled: bool) -> pb.Format:
    """Writes a row of the table of formats."""
    return pb.Format(
        format=each.name,
        description=each.description,
        kind=_KINDS[each.kind.value],
        layout=each.layout,
        example_record=json.dumps(json.loads(each.example_record), indent=2, ensure_ascii=False),
        archive_suffixes=archive.SUFFIXES,
        kinds=[_KINDS[kind] for kind in sorted(each.kinds)],
        unavailable_reason=unavailable_reason(each, vision_enabled=vision_enabled),
    )


def manifest_to(version: Version, urls: Sequence[SignedUrl]) -> pb.ReadManifest:
    """Writes a version's files; `urls` are in the order of its shards."""
    return pb.ReadManifest(
        version=version.name,
        digest=version.digest,
        manifest_sha256=version.manifest_sha256,
        shards=[
            pb.Shard(
                index=shard.index,
                sha256=shard.examples.sha256,
                row_count=shard.row_count,
                size_bytes=shard.examples.size_bytes,
                split_counts=shard.split_counts,
                url=signed.url,
            )
            for shard, signed in zip(version.shards, urls, strict=True)
        ],
        kinds=[_KINDS[kind] for kind in version.kinds],
        split_counts=version.split_counts,
        expire_time=timestamp(min(signed.expires_at for signed in urls)),
    )


def timestamp(at: datetime) -> Timestamp:
    """An aware time as proto."""
    message = Timestamp()
    message.FromDatetime(at.astimezone(UTC))
    return message
