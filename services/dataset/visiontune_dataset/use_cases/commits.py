"""Commits: drafts become versions, as durable operations that share what did not change."""

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

from visiontune_kit import faults

from visiontune_dataset.domain.datasets import Dataset
from visiontune_dataset.domain.drafts import CommitJob
from visiontune_dataset.domain.failures import DraftNotFound
from visiontune_dataset.domain.imports import ImportState, check_kinds
from visiontune_dataset.ports import Deps, VersionRun
from visiontune_dataset.ports.database import UnitOfWork
from visiontune_dataset.use_cases.drafts import edited_by, uploaded_objects
from visiontune_dataset.use_cases.imports import project_limits
from visiontune_dataset.use_cases.making import Making, Origin, empty_scratch, scratch_of
from visiontune_dataset.use_cases.shards import readable

_URL_TTL = timedelta(days=1)


async def start_commit(
    project: str, dataset_id: str, draft_id: str, etag: str, commit_id: str, deps: Deps
) -> Any:
    """Writes the operation that commits a draft, and returns it; while it runs, another call returns it too.

    Raises DraftNotFound, StaleEtag, DraftEmpty, DraftOutdated.
    """
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id, lock=True)
        draft = await uow.drafts.get(project, dataset_id, draft_id, lock=True)
        if draft.operation and (running := await deps.imports.get(uow.session, draft.operation)):
            return running
        draft.check_open(etag)
        edits = [edit for _, edit in await uow.drafts.edits(draft)]
        job = CommitJob(
            project=project,
            dataset=dataset_id,
            id=commit_id,
            draft=draft.id,
            base=draft.base,
            objects=tuple(uploaded_objects(edits).values()),
            created_at=now.isoformat(),
        )
        await uow.drafts.save(draft.committing(job.operation, dataset.latest_version, now))
        state = ImportState(job.dataset_name, 0, created_at=now, updated_at=now)
        operation = await deps.imports.start(uow.session, job, state)
        await uow.commit()
    return operation


async def run_commit(run: VersionRun[CommitJob], deps: Deps) -> None:
    """One try: whatever an earlier one left is removed first, and everything becomes visible in one commit.

    Raises ImportRefused when what the edits make breaks a rule, DraftOutdated when another version was first.
    """
    job = run.job
    await deps.storage.delete_owned(job.owner)
    async with deps.unit_of_work() as uow:
        base = await uow.versions.get(job.project, job.dataset, job.base)
        draft = await uow.drafts.get(job.project, job.dataset, job.draft)
        edits = [edit for _, edit in await uow.drafts.edits(draft)]
    index = await deps.indexes.of(base)
    edited = edited_by(edits, base, index, deps)
    wanted = {image.sha256 for example in edited.added.values() for image in example.images}
    objects = {sha256: name for sha256, name in edited.uploads.items() if sha256 in wanted}
    urls = await deps.storage.sign(list(objects.values()), _URL_TTL)
    making = Making(run, deps, 0)
    with empty_scratch(job, deps) as scratch:
        rewritten = await deps.rewriter.run(
            await readable(base.shards, deps),
            edited.changed,
            list(edited.added.values()),
            dict(zip(objects, (signed.url for signed in urls), strict=True)),
            base.format,
            f"draft {job.draft}",
            scratch,
            replace(deps.rules.options, limits=await project_limits(job.project, deps)),
            progress=making.progress,
            finished=making.put,
        )
    if rewritten.version is None:
        await making.refuse(rewritten.report)
        return
    faults.point("commit.rewritten")
    made = rewritten.version
    check_kinds(made.format, made.kinds, vision_enabled=deps.rules.vision_enabled)

    async def settle(uow: UnitOfWork, dataset: Dataset) -> None:
        now = await uow.drafts.get(job.project, job.dataset, job.draft, lock=True)
        now.check_newest(dataset.latest_version)
        await uow.drafts.remove(now)

    origin = Origin(parent=job.base, draft=job.draft)
    await making.commit(rewritten.report, made, origin, base.shared(rewritten.shared), settle)


async def clean_up(job: CommitJob, deps: Deps) -> None:
    """After the end: a draft that was not committed is open again; uploads go with one that was."""
    shutil.rmtree(scratch_of(job, deps), ignore_errors=True)  # of a try whose server was killed
    async with deps.unit_of_work() as uow:
        committed = await uow.versions.has_owner(job.project, job.dataset, job.owner)
        is_gone = not await _release(job, uow, deps)
        await uow.commit()
    if not committed:
        await deps.storage.delete_owned(job.owner)
    if is_gone and job.objects:
        await deps.storage.delete(job.project, job.objects)


async def _release(job: CommitJob, uow: UnitOfWork, deps: Deps) -> bool:
    """Opens the draft again; False when it is gone."""
    try:
        draft = await uow.drafts.get(job.project, job.dataset, job.draft, lock=True)
    except DraftNotFound:
        return False
    if draft.operation == job.operation:
        await uow.drafts.save(draft.released(deps.clock.now()))
    return True
