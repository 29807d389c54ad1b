"""Drafts: edits of a version, checked when they are made, kept until they are committed or expire."""

import posixpath
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from visiontune_data.edits import Add, Edit, Edited, changes_between
from visiontune_data.example import Example, Image
from visiontune_data.index import VersionIndex
from visiontune_data.previews import example_of
from visiontune_data.report import Place, Problem
from visiontune_data.rules import Severity
from visiontune_data.splits import TRAIN
from visiontune_kit import errors, logs

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.drafts import LIFETIME, Draft
from visiontune_dataset.domain.failures import (
    DatasetEmpty,
    EditRefused,
    RebaseConflict,
    StaleEtag,
    TooManyDrafts,
)
from visiontune_dataset.ports import Deps
from visiontune_dataset.ports.database import UnitOfWork

_MOST_DRAFTS = 100  # of a dataset
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image of a new example: one that the base has, or an upload."""

    sha256: str = ""
    upload: str = ""


@dataclass(frozen=True, slots=True)
class NewExample:
    """A new example whose images are still to be found."""

    example: Example
    images: tuple[NewImage, ...]


@dataclass(frozen=True, slots=True)
class EditExamples:
    """Edits for a draft."""

    project: str
    dataset: str
    draft: str
    etag: str
    edits: Sequence[Edit | NewExample]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of edits: the draft with them, their numbers, and what an import would warn of."""

    draft: Draft
    numbered: Sequence[tuple[int, Edit]]
    warnings: Sequence[Problem]


async def create_draft(project: str, dataset_id: str, base: int | None, draft_id: str, deps: Deps) -> Draft:
    """Makes an empty draft on a version (None: the newest).

    Raises DatasetNotFound, DatasetEmpty, VersionNotFound, TooManyDrafts.
    """
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id, lock=True)
        if not dataset.latest_version:
            raise DatasetEmpty(dataset.name)
        version = await uow.versions.get(project, dataset_id, base or dataset.latest_version)
        if await uow.drafts.count(project, dataset_id) >= _MOST_DRAFTS:
            raise TooManyDrafts(dataset.name, _MOST_DRAFTS)
        draft = Draft(
            project=project,
            dataset=dataset_id,
            id=draft_id,
            base=version.number,
            edit_count=0,
            last_number=0,
            operation="",
            created_at=now,
            updated_at=now,
            expires_at=now + LIFETIME,
        )
        await uow.drafts.add(draft)
        await uow.commit()
    return draft


async def get_draft(project: str, dataset_id: str, draft_id: str, deps: Deps) -> Draft:
    """Returns one. Raises DatasetNotFound, DraftNotFound."""
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        return await uow.drafts.get(project, dataset_id, draft_id)


async def list_drafts(
    project: str, dataset_id: str, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> tuple[list[Draft], tuple[datetime, str] | None]:
    """Returns a page, newest first, and where the next one begins."""
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        found = await uow.drafts.page(project, dataset_id, after, limit + 1)
    page = found[:limit]
    return page, (page[-1].created_at, page[-1].id) if len(found) > limit else None


async def list_edits(
    project: str, dataset_id: str, draft_id: str, above: int, limit: int, deps: Deps
) -> tuple[list[tuple[int, Edit]], int | None]:
    """Returns a page of numbered edits, and the number above which the next one begins."""
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        draft = await uow.drafts.get(project, dataset_id, draft_id)
        found = await uow.drafts.edits(draft, above, limit + 1)
    page = found[:limit]
    return page, page[-1][0] if len(found) > limit else None


async def delete_draft(project: str, dataset_id: str, draft_id: str, deps: Deps) -> None:
    """Deletes it with what was uploaded for it. Raises DraftNotFound, DraftCommitting."""
    async with deps.unit_of_work() as uow:
        draft = await uow.drafts.get(project, dataset_id, draft_id)
        draft.check_open(etag="")
    await _remove(draft, deps)


async def edit_examples(command: EditExamples, deps: Deps) -> Accepted:
    """Adds edits to a draft, all or none. Raises DraftNotFound, StaleEtag, DraftCommitting, EditRefused."""
    draft, version, earlier = await _read(command.project, command.dataset, command.draft, command.etag, deps)
    index = await deps.indexes.of(version)
    edited = edited_by([edit for _, edit in earlier], version, index, deps)
    new: list[Edit] = []
    refused: list[tuple[str, Problem]] = []
    warnings: list[Problem] = []
    for place, asked in enumerate(command.edits):
        edit, problems = await _found(asked, index, deps)
        before = set(edited.added)
        problems = problems or edited.apply(edit)
        if isinstance(edit, Add) and (made := edited.added.keys() - before):
            edit = replace(edit, new=replace(edit.new, id=made.pop()))
        new.append(edit)
        for problem in problems:
            if problem.severity is Severity.ERROR:
                refused.append((f"edits[{place}]", problem))
            else:
                warnings.append(problem)
    if refused:
        raise EditRefused(draft.name, refused)
    changed = draft.with_edits(len(new), deps.clock.now())
    numbered = list(enumerate(new, draft.last_number + 1))

    async def add(uow: UnitOfWork) -> None:
        await uow.drafts.add_edits(changed, numbered)

    await _save(draft, changed, add, deps)
    return Accepted(changed, numbered, warnings)


async def revert_edits(
    project: str, dataset_id: str, draft_id: str, etag: str, numbers: Collection[int], deps: Deps
) -> Draft:
    """Takes edits (none given: all) out of a draft. Raises EditRefused when one that stays needs them."""
    draft, version, earlier = await _read(project, dataset_id, draft_id, etag, deps)
    going = {number for number, _ in earlier if not numbers or number in numbers}
    staying = [(number, edit) for number, edit in earlier if number not in going]
    index = await deps.indexes.of(version)
    _check_all(draft, staying, edited_by([], version, index, deps))
    changed = draft.without_edits(len(going), deps.clock.now())

    async def remove(uow: UnitOfWork) -> None:
        await uow.drafts.remove_edits(changed, going)

    await _save(draft, changed, remove, deps)
    return changed


async def rebase_draft(project: str, dataset_id: str, draft_id: str, etag: str, deps: Deps) -> Draft:
    """Moves a draft to the newest version. Raises RebaseConflict, StaleEtag, DraftCommitting."""
    draft, base, earlier = await _read(project, dataset_id, draft_id, etag, deps)
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id)
        newest = await uow.versions.get(project, dataset_id, dataset.latest_version)
    if newest.number == base.number:
        return draft
    before, after = await deps.indexes.of(base), await deps.indexes.of(newest)
    if conflicts := _conflicts([edit for _, edit in earlier], before, after):
        raise RebaseConflict(draft.name, newest.number, conflicts)
    _check_all(draft, earlier, edited_by([], newest, after, deps))
    changed = draft.rebased(newest.number, deps.clock.now())
    await _save(draft, changed, _nothing, deps)
    return changed


async def delete_drafts_on(version: Version, deps: Deps) -> None:
    """Deletes the drafts that edit a version."""
    async with deps.unit_of_work() as uow:
        found = await uow.drafts.on(version)
    for draft in found:
        await _remove(draft, deps)


async def sweep(deps: Deps) -> None:
    """Deletes the drafts whose time is over."""
    async with deps.unit_of_work() as uow:
        expired = await uow.drafts.expired(deps.clock.now())
    for draft in expired:
        try:
            await _remove(draft, deps)
        except errors.Failure as error:
            log.warning("draft_deletion_postponed", draft=draft.name, error=error.message)


def edited_by(edits: Sequence[Edit], version: Version, index: VersionIndex, deps: Deps) -> Edited:
    """The version with edits that were accepted before."""
    edited = Edited(finder(index), version.kinds, deps.rules.options.limits)
    for edit in edits:
        edited.apply(edit)
    return edited


def finder(index: VersionIndex) -> Callable[[str], Example | None]:
    """Finds examples of a version by id."""

    def find(example_id: str) -> Example | None:
        row = index.row_of(example_id)
        return None if row is None else example_of(index.preview(row))

    return find


def uploaded_objects(edits: Sequence[Edit]) -> Mapping[str, str]:
    """Objects that were uploaded for these edits, by sha256."""
    return {sha256: name for edit in edits if isinstance(edit, Add) for sha256, name in edit.uploads}


async def _read(
    project: str, dataset_id: str, draft_id: str, etag: str, deps: Deps
) -> tuple[Draft, Version, list[tuple[int, Edit]]]:
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        draft = await uow.drafts.get(project, dataset_id, draft_id)
        draft.check_open(etag)
        version = await uow.versions.get(project, dataset_id, draft.base)
        return draft, version, await uow.drafts.edits(draft)


async def _save(
    before: Draft, after: Draft, also: Callable[[UnitOfWork], Awaitable[None]], deps: Deps
) -> None:
    """Writes a change unless somebody else was first."""
    async with deps.unit_of_work() as uow:
        now = await uow.drafts.get(before.project, before.dataset, before.id, lock=True)
        if now.revision != before.revision:
            raise StaleEtag(before.name)
        await uow.drafts.save(after)
        await also(uow)
        await uow.commit()


async def _nothing(_: UnitOfWork) -> None:
    """Nothing else is written."""


async def _remove(draft: Draft, deps: Deps) -> None:
    """Deletes uploads first, so that a crash in between is made good by whoever deletes the draft again."""
    async with deps.unit_of_work() as uow:
        edits = await uow.drafts.edits(draft)
    if objects := uploaded_objects([edit for _, edit in edits]):
        await deps.storage.delete(draft.project, list(objects.values()))
    async with deps.unit_of_work() as uow:
        await uow.drafts.remove(draft)
        await uow.commit()


def _check_all(draft: Draft, numbered: Sequence[tuple[int, Edit]], edited: Edited) -> None:
    """Applies edits that are left to what they now apply to. Raises EditRefused."""
    refused = [
        (f"edit {number}", problem)
        for number, edit in numbered
        for problem in edited.apply(edit)
        if problem.severity is Severity.ERROR
    ]
    if refused:
        raise EditRefused(draft.name, refused)


def _conflicts(edits: Sequence[Edit], before: VersionIndex, after: VersionIndex) -> list[str]:
    """What in the newer version is no longer what was edited, a line an example."""
    added = {edit.new.id for edit in edits if isinstance(edit, Add)}
    edited = {edit.example for edit in edits if not isinstance(edit, Add)} - added
    find_old, find_new = finder(before), finder(after)
    lines = [f'the new example "{id_}" has an id that is taken' for id_ in sorted(added) if find_new(id_)]
    for id_ in sorted(edited):
        old, new = find_old(id_), find_new(id_)
        if old is not None and new is None:
            lines.append(f'the example "{id_}" is gone')
        elif old is not None and new is not None and (changed := changes_between(old, new)):
            lines.append(f'of the example "{id_}" changed: {", ".join(changed)}')
    return lines


async def _found(asked: Edit | NewExample, index: VersionIndex, deps: Deps) -> tuple[Edit, list[Problem]]:
    """The edit, with the images of a new example found. Raises UploadNotComplete."""
    if not isinstance(asked, NewExample):
        return asked, []
    images, uploads, problems = [], {}, []
    splits = []  # of examples that share an image with the new one
    for place, wanted in enumerate(asked.images):
        if wanted.upload:
            sent = await deps.storage.get_archive(wanted.upload)
            uploads[sent.sha256] = sent.object
            suffix = posixpath.splitext(sent.filename)[1].lower()
            images.append(Image(f"added/{sent.sha256[:16]}{suffix}", sent.sha256, 0, 0, "", 0, 0))
        elif (other := index.example_with(wanted.sha256)) is not None:
            images.append(next(image for image in other.images if image.sha256 == wanted.sha256))
            splits.append(other.split)
        else:
            at = Place(asked.example.id, 0, f"$.images[{place}]")
            message = "no example of the version has an image of that digest"
            remedy = "Upload the image, and name the upload."
            problems.append(Problem("image-missing", at, message, wanted.sha256, remedy))
    split = asked.example.split or next(iter(splits), TRAIN)
    new = replace(asked.example, images=tuple(images), split=split)
    return Add(new, tuple(uploads.items())), problems
