"""What ends a draft's life, or a commit's: too many of them, time, and who cancels."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_dataset import app
from visiontune_dataset.domain.drafts import LIFETIME
from visiontune_dataset.use_cases import drafts
from visiontune_dataset.use_cases.making import Making
from visiontune_kit import errors

from tests.integration.dataset.test_drafts import NEW, added, answer, commit, draft_of, edit, ids
from tests.support import archives
from tests.support.clocks import MovableClock
from tests.support.dataset import DatasetHandle, running_dataset, version_of
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def service(
    s3: SeaweedFS, tmp_path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DatasetHandle]:
    monkeypatch.setattr(app, "_SWEEP_INTERVAL_S", 0.2)
    async with running_dataset(s3, tmp_path, clock=clock) as handle:
        yield handle


async def test_a_dataset_has_so_many_drafts_and_no_more(
    service: DatasetHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_MOST_DRAFTS", 2)
    dataset = await service.create()
    await service.imported(dataset, archives.numbered(1))
    first, _ = await draft_of(service, dataset), await draft_of(service, dataset)
    with pytest.raises(errors.ResourceExhausted) as refused:
        await draft_of(service, dataset)
    assert refused.value.reason == "TooManyDrafts"
    await service.call("DeleteDraft", pb.DeleteDraftRequest(name=first.name))
    await draft_of(service, dataset)


async def test_a_draft_that_nobody_changes_expires_with_what_was_uploaded_for_it(
    service: DatasetHandle, clock: MovableClock
) -> None:
    dataset = await service.create()
    await service.imported(dataset, archives.numbered(1))
    old, young = await draft_of(service, dataset), await draft_of(service, dataset)
    upload = await service.storage.upload(NEW, filename="new.jpg")
    await edit(service, old, added("n1", pb.AddedImage(upload=upload.name)))
    await service.until_objects(3)
    clock.moved = LIFETIME - timedelta(minutes=5)
    await edit(service, young, answer("r0", "Changed."))
    clock.moved = LIFETIME + timedelta(minutes=5)

    async def left() -> bool:
        found = await service.call("ListDrafts", pb.ListDraftsRequest(parent=dataset.name))
        return [each.name for each in found.drafts] == [young.name]

    await eventually(left)
    await service.until_objects(2)


async def test_a_cancelled_commit_leaves_the_draft_open_and_nothing_else(
    service: DatasetHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def never(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    dataset = await service.create()
    await service.imported(dataset, archives.numbered(2))
    draft = await draft_of(service, dataset)
    await edit(service, draft, answer("r0", "Changed."))
    with monkeypatch.context() as patched:
        patched.setattr(Making, "put", never)
        operation = await service.call("CommitVersion", pb.CommitVersionRequest(name=draft.name))
        await asyncio.wait_for(reached.wait(), 30)
        await service.cancel(operation)
        ended = await service.ended(operation)
    assert ended.error.code == code_pb2.CANCELLED

    async def is_open() -> bool:
        found = await service.call("GetDraft", pb.GetDraftRequest(name=draft.name))
        return not found.operation and found.edit_count == 1

    await eventually(is_open)
    await service.until_objects(2)
    second = version_of(await commit(service, draft))
    assert await ids(service, second.name, 'answer = "Changed."') == ["r0"]
