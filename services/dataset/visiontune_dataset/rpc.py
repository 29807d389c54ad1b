"""The service's methods: parse, call one use case, reply."""

from collections.abc import Mapping
from typing import Any

from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from visiontune import reports
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.dataset.v1 import dataset_pb2_grpc
from visiontune_data.formats import FORMATS
from visiontune_data.image_kinds import CONTENT_TYPES
from visiontune_data.problem_log import PAGE_PROBLEMS
from visiontune_kit import idempotency, pages
from visiontune_kit.identity import Role

from visiontune_dataset import draft_wire, viewing_wire, wire
from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.ports import Deps
from visiontune_dataset.use_cases import (
    commits,
    datasets,
    deletion,
    drafts,
    exports,
    filters,
    imports,
    links,
    previews,
    templates,
    versions,
)

NAME = "visiontune.dataset.v1.DatasetService"
OPERATIONS = "google.longrunning.Operations"

ACCESS: Mapping[str, Role] = {
    f"/{NAME}/CreateDataset": Role.EDITOR,
    f"/{NAME}/GetDataset": Role.VIEWER,
    f"/{NAME}/ListDatasets": Role.VIEWER,
    f"/{NAME}/UpdateDataset": Role.EDITOR,
    f"/{NAME}/DeleteDataset": Role.EDITOR,
    f"/{NAME}/UndeleteDataset": Role.EDITOR,
    f"/{NAME}/ImportVersion": Role.EDITOR,
    f"/{NAME}/GetVersion": Role.VIEWER,
    f"/{NAME}/ListVersions": Role.VIEWER,
    f"/{NAME}/ListExamples": Role.VIEWER,
    f"/{NAME}/GetExample": Role.VIEWER,
    f"/{NAME}/GetExampleImage": Role.VIEWER,
    f"/{NAME}/GetThumbnails": Role.VIEWER,
    f"/{NAME}/SignImageLinks": Role.VIEWER,
    f"/{NAME}/GetLinkedImage": Role.VIEWER,
    f"/{NAME}/GetStatistics": Role.VIEWER,
    f"/{NAME}/GetValidationReport": Role.VIEWER,
    f"/{NAME}/ListProblems": Role.VIEWER,
    f"/{NAME}/ListFormats": Role.VIEWER,
    f"/{NAME}/GetTemplate": Role.VIEWER,
    f"/{NAME}/PreviewAugmentation": Role.VIEWER,
    f"/{NAME}/GetReadManifest": Role.VIEWER,
    f"/{NAME}/CompareVersions": Role.VIEWER,
    f"/{NAME}/ExportVersion": Role.EDITOR,
    f"/{NAME}/DeleteVersion": Role.EDITOR,
    f"/{NAME}/UndeleteVersion": Role.EDITOR,
    f"/{NAME}/GetExport": Role.VIEWER,
    f"/{NAME}/CreateDraft": Role.EDITOR,
    f"/{NAME}/GetDraft": Role.VIEWER,
    f"/{NAME}/ListDrafts": Role.VIEWER,
    f"/{NAME}/DeleteDraft": Role.EDITOR,
    f"/{NAME}/EditExamples": Role.EDITOR,
    f"/{NAME}/ListEdits": Role.VIEWER,
    f"/{NAME}/RevertEdits": Role.EDITOR,
    f"/{NAME}/RebaseDraft": Role.EDITOR,
    f"/{NAME}/CommitVersion": Role.EDITOR,
    f"/{OPERATIONS}/GetOperation": Role.VIEWER,
    f"/{OPERATIONS}/ListOperations": Role.VIEWER,
    f"/{OPERATIONS}/WaitOperation": Role.VIEWER,
    f"/{OPERATIONS}/CancelOperation": Role.EDITOR,
    f"/{OPERATIONS}/DeleteOperation": Role.EDITOR,
}
UNSCOPED = frozenset(f"/{NAME}/{method}" for method in ("ListFormats", "GetTemplate", "GetLinkedImage"))


class DatasetService(dataset_pb2_grpc.DatasetServiceServicer):
    """See dataset.proto."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def CreateDataset(self, request: pb.CreateDatasetRequest, context: Any) -> pb.Dataset:
        command = wire.create_dataset_from(request, uid=idempotency.new_id("dataset"))
        return wire.dataset_to(await datasets.create_dataset(command, self._deps))

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Any) -> pb.Dataset:
        project, dataset_id = wire.segments(request.name)
        return wire.dataset_to(await datasets.get_dataset(project, dataset_id, self._deps))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Any) -> pb.ListDatasetsResponse:
        after = pages.time_and_name(pages.decode(request, request.page_token))
        limit = pages.clamp(request.page_size, default=50, most=1_000)
        [project] = wire.segments(request.parent)
        page, following = await datasets.list_datasets(
            project, after, limit, self._deps, deleted=request.only_deleted
        )
        token = pages.encode(request, [following[0].isoformat(), following[1]]) if following else ""
        return pb.ListDatasetsResponse(datasets=map(wire.dataset_to, page), next_page_token=token)

    async def UpdateDataset(self, request: pb.UpdateDatasetRequest, context: Any) -> pb.Dataset:
        command = wire.update_dataset_from(request)
        return wire.dataset_to(await datasets.update_dataset(command, self._deps))

    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Any) -> empty_pb2.Empty:
        project, dataset_id = wire.segments(request.name)
        await datasets.delete_dataset(
            project, dataset_id, force=request.force, purge=request.purge, deps=self._deps
        )
        return empty_pb2.Empty()

    async def UndeleteDataset(self, request: pb.UndeleteDatasetRequest, context: Any) -> pb.Dataset:
        project, dataset_id = wire.segments(request.name)
        return wire.dataset_to(await datasets.undelete_dataset(project, dataset_id, self._deps))

    async def ImportVersion(self, request: pb.ImportVersionRequest, context: Any) -> operations_pb2.Operation:
        operation: operations_pb2.Operation
        if request.mode == pb.IMPORT_MODE_FILTER:
            project, dataset_id = wire.segments(request.parent)
            base = wire.version_beside(request.base_version, request.parent)
            filter_id = idempotency.new_id("filter")
            operation = await filters.start_filter(
                project, dataset_id, base, request.filter, filter_id, self._deps
            )
        else:
            operation = await imports.start_import(wire.start_import_from(request), self._deps)
        return operation

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.DatasetVersion:
        return wire.version_to(await self._version(request.name))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        below = pages.number(pages.decode(request, request.page_token))
        limit = pages.clamp(request.page_size, default=50, most=1_000)
        project, dataset_id = wire.segments(request.parent)
        page, following = await versions.list_versions(
            project, dataset_id, below, limit, self._deps, deleted=request.only_deleted
        )
        token = pages.encode(request, [following]) if following else ""
        return pb.ListVersionsResponse(versions=map(wire.version_to, page), next_page_token=token)

    async def ListExamples(self, request: pb.ListExamplesRequest, context: Any) -> pb.ListExamplesResponse:
        start = pages.number(pages.decode(request, request.page_token)) or 0
        limit = pages.clamp(request.page_size, default=50, most=200)
        version = await self._version(request.parent)
        wanted = viewing_wire.selection_from(request)
        page, total = await versions.list_examples(version, wanted, start, limit, self._deps)
        return pb.ListExamplesResponse(
            examples=[viewing_wire.example_to(version, each) for each in page],
            next_page_token=pages.encode(request, [start + limit]) if start + limit < total else "",
            total_size=total,
        )

    async def GetExample(self, request: pb.GetExampleRequest, context: Any) -> pb.Example:
        version, row = await self._version(request.name), wire.row_number(request.name)
        return viewing_wire.example_to(version, await versions.get_example(version, row, self._deps))

    async def GetExampleImage(
        self, request: pb.GetExampleImageRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        version, row = await self._version(request.name), wire.row_number(request.name)
        image = await versions.get_image(version, row, request.index, self._deps)
        return httpbody_pb2.HttpBody(content_type=CONTENT_TYPES[image.format], data=image.data)

    async def GetThumbnails(self, request: pb.GetThumbnailsRequest, context: Any) -> pb.GetThumbnailsResponse:
        version = await self._version(request.parent)
        count = pages.clamp(request.count, default=50, most=200)
        wanted = viewing_wire.selection_from(request)
        found, total = await versions.get_thumbnails(version, wanted, request.start, count, self._deps)
        return pb.GetThumbnailsResponse(
            thumbnails=[viewing_wire.thumbnail_to(version, each) for each in found], total_size=total
        )

    async def SignImageLinks(
        self, request: pb.SignImageLinksRequest, context: Any
    ) -> pb.SignImageLinksResponse:
        version = await self._version(request.parent)
        found, end = await links.sign_links(version, request.rows, wire.ttl_from(request), self._deps)
        return viewing_wire.links_to(version, found, end)

    async def GetLinkedImage(self, request: pb.GetLinkedImageRequest, context: Any) -> httpbody_pb2.HttpBody:
        image, end = await links.open_link(request.token, self._deps)
        body = httpbody_pb2.HttpBody(content_type=CONTENT_TYPES[image.format], data=image.data)
        body.extensions.add().Pack(wire.timestamp(end))
        return body

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Any) -> pb.Statistics:
        version = await self._version(request.name)
        return viewing_wire.statistics_to(version, await versions.get_statistics(version, self._deps))

    async def GetValidationReport(
        self, request: pb.GetValidationReportRequest, context: Any
    ) -> pb.ValidationReport:
        project, dataset_id, report_id = wire.segments(request.name)
        return wire.report_to(await versions.get_report(project, dataset_id, report_id, self._deps))

    async def ListProblems(self, request: pb.ListProblemsRequest, context: Any) -> pb.ListProblemsResponse:
        start = pages.number(pages.decode(request, request.page_token)) or 0
        limit = pages.clamp(request.page_size, default=PAGE_PROBLEMS, most=PAGE_PROBLEMS)
        project, dataset_id, report_id = wire.segments(request.parent)
        stored = await versions.get_report(project, dataset_id, report_id, self._deps)
        problems, following = await versions.list_problems(stored, start, limit, self._deps)
        return pb.ListProblemsResponse(
            problems=[reports.problem_to(problem, stored.report.archive) for problem in problems],
            next_page_token=pages.encode(request, [following]) if following else "",
            total_size=stored.report.error_count + stored.report.warning_count,
        )

    async def ListFormats(self, request: pb.ListFormatsRequest, context: Any) -> pb.ListFormatsResponse:
        on = self._deps.rules.vision_enabled
        formats = [wire.format_to(each, vision_enabled=on) for each in FORMATS.values()]
        return pb.ListFormatsResponse(formats=formats)

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Any) -> httpbody_pb2.HttpBody:
        return httpbody_pb2.HttpBody(content_type="application/zip", data=templates.get(request.format))

    async def PreviewAugmentation(
        self, request: pb.PreviewAugmentationRequest, context: Any
    ) -> pb.PreviewAugmentationResponse:
        version = await self._version(request.parent)
        command = viewing_wire.preview_from(request)
        return viewing_wire.preview_to(
            version, await previews.preview_augmentation(command, version, self._deps)
        )

    async def GetReadManifest(self, request: pb.GetReadManifestRequest, context: Any) -> pb.ReadManifest:
        version = await self._version(request.name)
        return wire.manifest_to(
            version, await versions.read_manifest(version, wire.ttl_from(request), self._deps)
        )

    async def ExportVersion(self, request: pb.ExportVersionRequest, context: Any) -> operations_pb2.Operation:
        export_id = idempotency.new_id("export")
        version = await self._version(request.name)
        operation: operations_pb2.Operation = await exports.start_export(
            version, request.format, wire.archive_from(request), export_id, self._deps
        )
        return operation

    async def GetExport(self, request: pb.GetExportRequest, context: Any) -> pb.Export:
        export, url = await exports.get_export(*wire.below_dataset(request.name), self._deps)
        return wire.export_to(export, url)

    async def DeleteVersion(self, request: pb.DeleteVersionRequest, context: Any) -> empty_pb2.Empty:
        name = wire.version_key(request.name)
        await deletion.delete_version(*name, force=request.force, purge=request.purge, deps=self._deps)
        return empty_pb2.Empty()

    async def UndeleteVersion(self, request: pb.UndeleteVersionRequest, context: Any) -> pb.DatasetVersion:
        name = wire.version_key(request.name)
        return wire.version_to(await deletion.undelete_version(*name, self._deps))

    async def CompareVersions(
        self, request: pb.CompareVersionsRequest, context: Any
    ) -> pb.CompareVersionsResponse:
        start = pages.number(pages.decode(request, request.page_token)) or 0
        end = start + pages.clamp(request.page_size, default=50, most=200)
        version, base_number = await self._version(request.name), wire.base_of(request.base, request.name)
        base, found = await versions.compare_versions(version, base_number, self._deps)
        page = found.changes[start:end]
        before = [change.before for change in page if change.before is not None]
        after = [change.after for change in page if change.after is not None]
        return viewing_wire.comparison_to(
            (base, await versions.shown(base, before, self._deps)),
            (version, await versions.shown(version, after, self._deps)),
            found,
            page,
            pages.encode(request, [end]) if end < len(found.changes) else "",
        )

    async def CreateDraft(self, request: pb.CreateDraftRequest, context: Any) -> pb.Draft:
        project, dataset_id = wire.segments(request.parent)
        base = wire.base_of(request.draft.base_version, request.parent)
        draft_id = idempotency.new_id("draft")
        return draft_wire.draft_to(await drafts.create_draft(project, dataset_id, base, draft_id, self._deps))

    async def GetDraft(self, request: pb.GetDraftRequest, context: Any) -> pb.Draft:
        return draft_wire.draft_to(await drafts.get_draft(*wire.below_dataset(request.name), self._deps))

    async def ListDrafts(self, request: pb.ListDraftsRequest, context: Any) -> pb.ListDraftsResponse:
        after = pages.time_and_name(pages.decode(request, request.page_token))
        limit = pages.clamp(request.page_size, default=50, most=1_000)
        project, dataset_id = wire.segments(request.parent)
        page, following = await drafts.list_drafts(project, dataset_id, after, limit, self._deps)
        token = pages.encode(request, [following[0].isoformat(), following[1]]) if following else ""
        return pb.ListDraftsResponse(drafts=map(draft_wire.draft_to, page), next_page_token=token)

    async def DeleteDraft(self, request: pb.DeleteDraftRequest, context: Any) -> empty_pb2.Empty:
        await drafts.delete_draft(*wire.below_dataset(request.name), self._deps)
        return empty_pb2.Empty()

    async def EditExamples(self, request: pb.EditExamplesRequest, context: Any) -> pb.EditExamplesResponse:
        return draft_wire.accepted_to(
            await drafts.edit_examples(draft_wire.edit_examples_from(request), self._deps)
        )

    async def ListEdits(self, request: pb.ListEditsRequest, context: Any) -> pb.ListEditsResponse:
        above = pages.number(pages.decode(request, request.page_token)) or 0
        limit = pages.clamp(request.page_size, default=50, most=1_000)
        page, following = await drafts.list_edits(
            *wire.below_dataset(request.parent), above, limit, self._deps
        )
        return pb.ListEditsResponse(
            edits=[draft_wire.edit_to(*each) for each in page],
            next_page_token=pages.encode(request, [following]) if following else "",
        )

    async def RevertEdits(self, request: pb.RevertEditsRequest, context: Any) -> pb.Draft:
        name, numbers = wire.below_dataset(request.name), set(request.numbers)
        return draft_wire.draft_to(await drafts.revert_edits(*name, request.etag, numbers, self._deps))

    async def RebaseDraft(self, request: pb.RebaseDraftRequest, context: Any) -> pb.Draft:
        return draft_wire.draft_to(
            await drafts.rebase_draft(*wire.below_dataset(request.name), request.etag, self._deps)
        )

    async def CommitVersion(self, request: pb.CommitVersionRequest, context: Any) -> operations_pb2.Operation:
        commit_id = idempotency.new_id("commit")
        operation: operations_pb2.Operation = await commits.start_commit(
            *wire.below_dataset(request.name), request.etag, commit_id, self._deps
        )
        return operation

    async def _version(self, name: str) -> Version:
        """The version that `name` is, or lies below."""
        return await versions.get_version(*wire.version_key(name), self._deps)
