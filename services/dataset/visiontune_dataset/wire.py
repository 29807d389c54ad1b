"""Between proto messages and the domain; pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from visiontune import reports
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_data import archive
from visiontune_data.compression import DEFAULT_QUALITY, Policy, Target
from visiontune_data.example import Kind
from visiontune_data.export import Archive
from visiontune_data.formats import Format
from visiontune_data.joining import Mode
from visiontune_data.treatment import Treatment

from visiontune_dataset.domain.datasets import Dataset, Version
from visiontune_dataset.domain.exports import Export, ExportState
from visiontune_dataset.domain.failures import ExampleNotFound, VersionNotFound
from visiontune_dataset.domain.imports import GoesOn, ImportState, unavailable_reason
from visiontune_dataset.ports import SignedUrl
from visiontune_dataset.ports.database import StoredReport
from visiontune_dataset.use_cases.datasets import CreateDataset, UpdateDataset
from visiontune_dataset.use_cases.imports import StartImport

_KINDS = {
    Kind.CHAT_WITH_IMAGES.value: pb.EXAMPLE_KIND_CHAT_WITH_IMAGES,
    Kind.CHAT.value: pb.EXAMPLE_KIND_CHAT,
    Kind.CAPTIONED_IMAGE.value: pb.EXAMPLE_KIND_CAPTIONED_IMAGE,
    Kind.CHAT_WITH_VIDEO.value: pb.EXAMPLE_KIND_CHAT_WITH_VIDEO,
    Kind.RETRIEVAL.value: pb.EXAMPLE_KIND_RETRIEVAL,
    Kind.PREFERENCE.value: pb.EXAMPLE_KIND_PREFERENCE,
}
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
