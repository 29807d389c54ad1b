"""Drafts over gRPC: edits become versions that share what did not change, or are refused with a reason."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from google.rpc import code_pb2, error_details_pb2
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.clock import SystemClock

from tests.support import archives
from tests.support.dataset import DatasetHandle, details_of, metadata_of, running_dataset, version_of
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS

NEW = archives.noise(999)


async def draft_of(service: DatasetHandle, dataset: pb.Dataset, base: str = "") -> pb.Draft:
    request = pb.CreateDraftRequest(parent=dataset.name, draft=pb.Draft(base_version=base))
    made: pb.Draft = await service.call("CreateDraft", request)
    return made


async def edit(service: DatasetHandle, draft: pb.Draft, *edits: pb.Edit, etag: str = "") -> Any:
    return await service.call("EditExamples", pb.EditExamplesRequest(name=draft.name, etag=etag, edits=edits))


async def commit(service: DatasetHandle, draft: pb.Draft, etag: str = "") -> lro.Operation:
    request = pb.CommitVersionRequest(name=draft.name, etag=etag)
    return await service.ended(await service.call("CommitVersion", request))


def answer(example: str, text: str) -> pb.Edit:
    return pb.Edit(example_id=example, text=pb.TextEdit(message=1, text=text))


def delete(example: str) -> pb.Edit:
    return pb.Edit(example_id=example, delete=pb.Deletion())


def added(example: str, *images: pb.AddedImage, said: str = "The new.") -> pb.Edit:
    part = pb.ContentPart
    asked = [part(type=part.TYPE_IMAGE) for _ in images] + [part(type=part.TYPE_TEXT, text="Which?")]
    messages = [
        pb.Message(role="user", content=asked),
        pb.Message(role="assistant", content=[part(type=part.TYPE_TEXT, text=said)]),
    ]
    return pb.Edit(example_id=example, add=pb.AddedExample(messages=messages, images=images, tags=["new"]))


async def ids(service: DatasetHandle, version: str, filter_: str = "") -> list[str]:
    request = pb.ListExamplesRequest(parent=version, filter=filter_, page_size=200)
    return [each.example_id for each in (await service.call("ListExamples", request)).examples]


def objects_of(shards: Sequence[pb.Shard]) -> list[str]:
    return [shard.sha256 for shard in shards]


async def manifest(service: DatasetHandle, version: str) -> pb.ReadManifest:
    found: pb.ReadManifest = await service.call("GetReadManifest", pb.GetReadManifestRequest(name=version))
    return found


async def test_edits_become_a_version_that_shares_what_they_did_not_touch(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        dataset = await service.create()
        first = await service.imported(dataset, archives.numbered(150))
        draft = await draft_of(service, dataset)
        assert (draft.base_version, draft.edit_count) == (first.name, 0)
        upload = await service.storage.upload(NEW, filename="NEW.jpg")
        done = await edit(
            service,
            draft,
            answer("r120", "It is 120."),
            pb.Edit(example_id="r121", split="test"),
            pb.Edit(example_id="r122", tags=pb.TagsEdit(tags=["odd"])),
            delete("r123"),
            added("n1", pb.AddedImage(upload=upload.name)),
            added("", pb.AddedImage(sha256=hashlib.sha256(archives.noise(7)).hexdigest())),
            etag=draft.etag,
        )
        assert [each.number for each in done.edits] == [1, 2, 3, 4, 5, 6]
        assert done.draft.edit_count == 6
        generated = done.edits[-1].example_id
        listed = await service.call("ListEdits", pb.ListEditsRequest(parent=draft.name, page_size=4))
        rest = pb.ListEditsRequest(parent=draft.name, page_size=4, page_token=listed.next_page_token)
        edits = [*listed.edits, *(await service.call("ListEdits", rest)).edits]
        assert edits == list(done.edits)

        ended = await commit(service, done.draft, done.draft.etag)
        second = version_of(ended)
        assert (second.parent_version, second.draft) == (first.name, draft.name)
        assert second.example_count == 151
        assert first.uploads
        assert not second.uploads
        before, after = await manifest(service, first.name), await manifest(service, second.name)
        assert objects_of(after.shards)[0] == objects_of(before.shards)[0]
        assert objects_of(after.shards)[1] != objects_of(before.shards)[1]
        assert [shard.row_count for shard in after.shards] == [100, 49, 2]
        assert await ids(service, second.name, "tags:new") == ["n1", generated]
        assert await ids(service, second.name, "tags:odd OR split = test") == ["r121", "r122"]
        assert await ids(service, second.name, 'answer = "It is 120."') == ["r120"]
        shown = await service.call(
            "GetThumbnails", pb.GetThumbnailsRequest(parent=second.name, filter="tags:new")
        )
        assert all(each.data for each in shown.thumbnails)
        assert metadata_of(ended).stage == pb.ImportVersionMetadata.STAGE_DONE
        report = await service.report(second.validation_report)
        assert (report.version, report.error_count) == (second.name, 0)
        with pytest.raises(errors.NotFound):
            await service.call("GetDraft", pb.GetDraftRequest(name=draft.name))
        # Two shards of the first version, one rewritten and one new, each with its preview; no upload.
        await service.until_objects(8)
        await service.call("DeleteDataset", pb.DeleteDatasetRequest(name=dataset.name, force=True))
        await service.until_objects(0)


async def test_a_draft_is_open_again_when_its_commit_fails(service: DatasetHandle) -> None:
    dataset = await service.create()
    first = await service.imported(dataset, archives.numbered(3))
    draft = await draft_of(service, dataset, first.name)
    upload = await service.storage.upload(NEW[:-2], filename="cut.jpg")
    done = await edit(service, draft, delete("r0"), added("n1", pb.AddedImage(upload=upload.name)))
    ended = await commit(service, done.draft)
    assert ended.error.code == code_pb2.INVALID_ARGUMENT
    assert "the JPEG data ends too early" in ended.error.message
    info = details_of(ended, error_details_pb2.ErrorInfo)
    assert info.reason == "ImportRefused"
    report = await service.report(info.metadata["validation_report"])
    assert [each.rule for each in report.rules] == ["image-truncated"]

    async def is_open() -> bool:
        found = await service.call("GetDraft", pb.GetDraftRequest(name=draft.name))
        return not found.operation

    await eventually(is_open)
    reverted = await service.call("RevertEdits", pb.RevertEditsRequest(name=draft.name, numbers=[2]))
    assert reverted.edit_count == 1
    second = version_of(await commit(service, reverted))
    assert await ids(service, second.name) == ["r1", "r2"]


async def test_what_breaks_a_rule_is_refused_and_nothing_of_the_call_is_kept(service: DatasetHandle) -> None:
    dataset = await service.create()
    await service.imported(dataset, archives.numbered(3))
    draft = await draft_of(service, dataset)
    with pytest.raises(errors.InvalidArgument) as refused:
        await edit(
            service,
            draft,
            answer("r0", "Fine."),
            answer("r1", " "),
            delete("r9"),
            added("n1", pb.AddedImage(sha256="0" * 64)),
        )
    assert refused.value.reason == "EditRefused"
    assert [(each.field, each.reason) for each in refused.value.violations] == [
        ("edits[1]", "answer-empty"),
        ("edits[2]", "edit-unknown-example"),
        ("edits[3]", "image-missing"),
    ]
    assert "r1 › $.messages[1]: the answer has no text. Write the answer" in refused.value.message
    assert (await service.call("GetDraft", pb.GetDraftRequest(name=draft.name))).edit_count == 0
    done = await edit(service, draft, answer("r0", "Yes.</s>"))
    assert [(each.rule, each.member) for each in done.warnings] == [("special-token", "r0")]
    with pytest.raises(errors.FailedPrecondition) as incomplete:
        pending = await service.storage.create(b"x" * 9)
        await edit(service, draft, added("n2", pb.AddedImage(upload=pending.name)))
    assert incomplete.value.reason == "UploadNotComplete"


async def test_of_two_who_edit_at_once_the_second_reads_again(service: DatasetHandle) -> None:
    dataset = await service.create()
    await service.imported(dataset, archives.numbered(3))
    draft = await draft_of(service, dataset)
    done = await edit(service, draft, answer("r0", "One."), etag=draft.etag)
    for method, request in (
        ("EditExamples", pb.EditExamplesRequest(name=draft.name, etag=draft.etag, edits=[delete("r1")])),
        ("RevertEdits", pb.RevertEditsRequest(name=draft.name, etag=draft.etag)),
        ("RebaseDraft", pb.RebaseDraftRequest(name=draft.name, etag=draft.etag)),
        ("CommitVersion", pb.CommitVersionRequest(name=draft.name, etag=draft.etag)),
    ):
        with pytest.raises(errors.Aborted) as stale:
            await service.call(method, request)
        assert stale.value.reason == "StaleEtag"
    await edit(service, draft, delete("r1"), etag=done.draft.etag)


async def test_an_edit_that_others_need_goes_only_with_them(service: DatasetHandle) -> None:
    dataset = await service.create()
    await service.imported(dataset, archives.captions(2), format="image-caption")
    draft = await draft_of(service, dataset)
    sha256 = hashlib.sha256(archives.noise(1)).hexdigest()
    new = pb.AddedExample(texts=["A dot."], images=[pb.AddedImage(sha256=sha256)])
    caption = pb.TextEdit(caption=0, text="A spot.")
    await edit(service, draft, pb.Edit(example_id="n", add=new), pb.Edit(example_id="n", text=caption))
    with pytest.raises(errors.InvalidArgument) as refused:
        await service.call("RevertEdits", pb.RevertEditsRequest(name=draft.name, numbers=[1]))
    assert refused.value.message.startswith('edit 2: n: there is no example "n".')
    reverted = await service.call("RevertEdits", pb.RevertEditsRequest(name=draft.name))
    assert reverted.edit_count == 0
    with pytest.raises(errors.FailedPrecondition) as empty:
        await commit(service, reverted)
    assert empty.value.reason == "DraftEmpty"
    with pytest.raises(errors.InvalidArgument) as other:
        await edit(service, draft, added("m", pb.AddedImage(sha256=sha256)))
    assert [each.reason for each in other.value.violations] == ["edit-other-kind"]


async def test_a_draft_of_an_older_version_is_rebased_first(service: DatasetHandle) -> None:
    dataset = await service.create()
    await service.imported(dataset, archives.numbered(6))
    mine, theirs, clashing = [await draft_of(service, dataset) for _ in range(3)]
    mine = (await edit(service, mine, answer("r1", "Mine."), delete("r2"))).draft
    clashing = (await edit(service, clashing, answer("r4", "Mine."), answer("r5", "Mine."))).draft
    theirs = (await edit(service, theirs, answer("r4", "Theirs."), delete("r5"), delete("r0"))).draft
    second = version_of(await commit(service, theirs))
    with pytest.raises(errors.FailedPrecondition) as outdated:
        await commit(service, mine)
    assert outdated.value.reason == "DraftOutdated"
    assert "edits v1, and v2 is the newest version now. Rebase the draft" in outdated.value.message
    with pytest.raises(errors.Aborted) as conflict:
        await service.call("RebaseDraft", pb.RebaseDraftRequest(name=clashing.name))
    assert conflict.value.reason == "RebaseConflict"
    assert [each.description for each in conflict.value.violations] == [
        'of the example "r4" changed: messages',
        'the example "r5" is gone',
    ]
    rebased = await service.call("RebaseDraft", pb.RebaseDraftRequest(name=mine.name))
    assert rebased.base_version == second.name
    assert await service.call("RebaseDraft", pb.RebaseDraftRequest(name=mine.name)) == rebased
    third = version_of(await commit(service, rebased))
    assert await ids(service, third.name) == ["r1", "r3", "r4"]
    assert await ids(service, third.name, "answer = Mine.") == ["r1"]


async def test_edits_that_change_nothing_give_the_version_back(service: DatasetHandle) -> None:
    dataset = await service.create()
    first = await service.imported(dataset, archives.numbered(3))
    done = await edit(service, await draft_of(service, dataset), answer("r1", "It is number 1."))
    ended = await commit(service, done.draft)
    assert version_of(ended) == first
    assert metadata_of(ended).unchanged
    await service.until_objects(2)


async def test_a_draft_can_be_given_up_and_there_is_none_without_a_version(service: DatasetHandle) -> None:
    dataset = await service.create()
    with pytest.raises(errors.FailedPrecondition) as empty:
        await draft_of(service, dataset)
    assert empty.value.reason == "DatasetEmpty"
    await service.imported(dataset, archives.numbered(3))
    for base in (f"{dataset.name}/versions/v7", "projects/default/datasets/other/versions/v1"):
        with pytest.raises(errors.NotFound):
            await draft_of(service, dataset, base)
    draft, other = await draft_of(service, dataset), await draft_of(service, dataset)
    upload = await service.storage.upload(NEW, filename="new.jpg")
    await edit(service, draft, added("n", pb.AddedImage(upload=upload.name)))
    page = await service.call("ListDrafts", pb.ListDraftsRequest(parent=dataset.name, page_size=1))
    assert [each.name for each in page.drafts] == [other.name]
    request = pb.ListDraftsRequest(parent=dataset.name, page_size=1, page_token=page.next_page_token)
    [last] = (await service.call("ListDrafts", request)).drafts
    assert (last.name, last.edit_count) == (draft.name, 1)
    await service.until_objects(3)
    await service.call("DeleteDraft", pb.DeleteDraftRequest(name=draft.name))
    await service.until_objects(2)
    with pytest.raises(errors.NotFound):
        await service.call("DeleteDraft", pb.DeleteDraftRequest(name=draft.name))
    assert SystemClock().now().timestamp() < other.expire_time.seconds


async def test_two_versions_are_compared_example_by_example(service: DatasetHandle) -> None:
    dataset = await service.create()
    first = await service.imported(dataset, archives.numbered(6))
    draft = await draft_of(service, dataset)
    sha256 = hashlib.sha256(archives.noise(5)).hexdigest()
    edits = (answer("r1", "One."), pb.Edit(example_id="r1", split="test"), delete("r3"))
    await edit(service, draft, *edits, added("n", pb.AddedImage(sha256=sha256)))
    second = version_of(await commit(service, draft))
    request = pb.CompareVersionsRequest(name=second.name, page_size=2)
    page = await service.call("CompareVersions", request)
    assert (page.base, page.added_count, page.removed_count, page.changed_count) == (first.name, 1, 1, 1)
    request.page_token = page.next_page_token
    rest = await service.call("CompareVersions", request)
    assert not rest.next_page_token
    changes: list[pb.ExampleChange] = [*page.changes, *rest.changes]
    changed, gone, came = changes
    assert (changed.example_id, list(changed.fields)) == ("r1", ["messages", "split"])
    assert changed.before.messages[1].content[0].text == "It is number 1."
    assert changed.after.messages[1].content[0].text == "One."
    assert (gone.example_id, gone.HasField("after"), gone.before.name) == (
        "r3",
        False,
        f"{first.name}/examples/3",
    )
    assert (came.example_id, came.HasField("before"), list(came.after.tags)) == ("n", False, ["new"])
    backwards = pb.CompareVersionsRequest(name=first.name, base=second.name)
    assert (await service.call("CompareVersions", backwards)).added_count == 1
    same = pb.CompareVersionsRequest(name=first.name, base=first.name)
    assert not (await service.call("CompareVersions", same)).changes
    third = await service.imported(dataset, archives.numbered(2))
    page = await service.call("CompareVersions", pb.CompareVersionsRequest(name=third.name))
    assert (page.base, page.removed_count) == (second.name, 4)
    for refused in (
        pb.CompareVersionsRequest(name=first.name),  # there is none before it
        pb.CompareVersionsRequest(name=first.name, base="projects/default/datasets/other/versions/v1"),
    ):
        with pytest.raises(errors.NotFound):
            await service.call("CompareVersions", refused)
