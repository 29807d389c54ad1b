"""Checkpoints and artifacts as workers store them: folder row first, bytes next, commit last."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from visiontune_kit import faults

from visiontune_trainer.domain.folders import (
    ARTIFACT_PREFIX,
    CHECKPOINT_PREFIX,
    Folder,
    FolderState,
    StoredFile,
    beyond,
    check_path,
)
from visiontune_trainer.domain.problems import FolderDeleted, StaleAttempt, UploadNotOfFolder
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.ports import NewFile, PreparedUpload
from visiontune_trainer.use_cases import fence
from visiontune_trainer.use_cases.deps import SWEEPER, Deps
from visiontune_trainer.use_cases.lifecycle import doom

_AT_ONCE = 8
_DEFAULT_KEEP = 2

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that a worker has PUT."""

    path: str
    upload: str


@dataclass(frozen=True, slots=True)
class CommitCheckpoint:
    """A checkpoint whose files are all PUT."""

    attempt: str
    step: int
    epoch: float
    files: tuple[UploadedFile, ...]
    best_step: int | None = None  # of the best evaluation by then


async def create_uploads(
    attempt_name: str, path: str, new_files: Sequence[NewFile], deps: Deps
) -> list[PreparedUpload]:
    """Makes an upload for each file of a folder; the folder's row comes first, so that no byte is orphaned.

    Repeating it returns the same uploads. Raises StaleAttempt, FolderDeleted, FilePathRefused, QuotaExceeded.
    """
    for file in new_files:
        check_path(file.path)
    async with deps.unit_of_work() as uow:
        job, attempt = await fence.claimed(uow, attempt_name)
        folder = await uow.folders.get(job.name, path, attempt.number)
        if folder is None:
            folder = Folder(job.name, path, attempt.number, created_at=deps.clock.now())
            await uow.folders.add(folder)
            await uow.commit()
    if folder.state is FolderState.DOOMED:
        raise FolderDeleted(folder.name)
    faults.point("folder.after_commit")
    return await _each(new_files, lambda file: deps.storage.create_upload(folder, file))


async def commit_checkpoint(command: CommitCheckpoint, deps: Deps) -> None:
    """Makes a checkpoint the one to resume from and drops those beyond `keep`. Repeating it is harmless.

    Raises StaleAttempt, FilePathRefused, UploadNotOfFolder.
    """
    path = f"{CHECKPOINT_PREFIX}{command.step}"
    async with deps.unit_of_work() as uow:
        job, attempt = await fence.claimed(uow, command.attempt)
        folder = await uow.folders.get(job.name, path, attempt.number)
    if folder is not None and folder.state is not FolderState.OPEN:
        return
    folder = await _complete(folder, path, command.files, deps)
    try:
        await _show(command, folder, deps)
    except StaleAttempt:
        await abandon([folder], deps)
        raise
    faults.point("checkpoint.after_commit")
    deps.wakeups.notify(job.name, SWEEPER)


async def abandon(folders: Sequence[Folder], deps: Deps) -> None:
    """Dooms folders that were completed after their attempt was over, perhaps after their sweep."""
    async with deps.unit_of_work() as uow:
        for folder in folders:
            known = await uow.folders.get(folder.job, folder.path, folder.attempt)
            if known is None:
                await uow.folders.add(folder)
            if known is None or known.state is not FolderState.COMMITTED:
                await doom(uow, [folder])
        await uow.commit()
    deps.wakeups.notify(SWEEPER)


async def complete_artifacts(
    opened: Mapping[str, Folder], artifacts: Mapping[str, Sequence[UploadedFile]], deps: Deps
) -> list[Folder]:
    """Completes the uploads of artifacts; the folders stay OPEN until the caller's transaction.

    Raises FilePathRefused, UploadNotOfFolder.
    """
    paths = {f"{ARTIFACT_PREFIX}{artifact}": uploaded for artifact, uploaded in artifacts.items()}
    return [await _complete(opened.get(path), path, uploaded, deps) for path, uploaded in paths.items()]


async def _show(command: CommitCheckpoint, folder: Folder, deps: Deps) -> None:
    """One transaction makes the checkpoint exist and dooms those that it replaces."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job, _ = await fence.claimed(uow, command.attempt)
        known = await uow.folders.get(folder.job, folder.path, folder.attempt)
        if known is None or known.state is not FolderState.OPEN:
            return  # The same call, sent twice, was here first.
        await uow.folders.save(
            replace(
                folder,
                state=FolderState.COMMITTED,
                step=command.step,
                epoch=command.epoch,
                committed_at=now,
            )
        )
        committed = await uow.folders.of(job.name, FolderState.COMMITTED)
        keep = job.resolved.checkpointing.keep or _DEFAULT_KEEP
        await doom(uow, beyond([each for each in committed if each.is_checkpoint], keep, command.best_step))
        job = replace(job, best_step=command.best_step)
        job, event = job.noted(Reason.CHECKPOINT_SAVED, f"Saved a checkpoint at step {command.step:,}.", now)
        await uow.jobs.save(job)
        await uow.records.add_event(event)
        await uow.commit()


async def _complete(folder: Folder | None, path: str, uploaded: Sequence[UploadedFile], deps: Deps) -> Folder:
    if folder is None:
        raise UploadNotOfFolder(uploaded[0].upload, path)
    for file in uploaded:
        check_path(file.path)
    stored = await _each(uploaded, lambda file: _complete_file(folder, file, deps))
    return replace(folder, files=tuple(sorted(stored, key=lambda file: file.path)))


async def _complete_file(folder: Folder, file: UploadedFile, deps: Deps) -> StoredFile:
    stored = await deps.storage.complete_upload(file.upload)
    if stored.owner != folder.owner:
        raise UploadNotOfFolder(file.upload, folder.name)
    return StoredFile(file.path, stored.object, stored.size_bytes, stored.sha256)


async def _each(given: Iterable[Given], work: Callable[[Given], Awaitable[Made]]) -> list[Made]:
    """Does the work for each, a few at once, and returns the results in order."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(value: Given) -> Made:
        async with room:
            return await work(value)

    return await asyncio.gather(*(one(value) for value in given))
