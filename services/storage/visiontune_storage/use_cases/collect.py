"""Collecting garbage: what expired, what was deleted for good, and bytes that belong to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from visiontune_kit import idempotency, logs

from visiontune_storage.domain.garbage import (
    EVERYTHING,
    MOST_NAMED,
    Collected,
    Collection,
    Sum,
    compare,
    scheduled,
    split_by_age,
)
from visiontune_storage.domain.objects import Garbage, StoredKey, StoredObject
from visiontune_storage.ports import CollectRun, Deps
from visiontune_storage.use_cases import garbage, objects, sweep

_PAGE = 500

log = logs.get(__name__)


async def start(project: str, *, dry_run: bool, deps: Deps) -> Any:
    """Writes the operation that collects the garbage of a project, or of all, and returns it."""
    now = deps.clock.now()
    return await _start(Collection(project, idempotency.new_id("collect"), dry_run, now.isoformat()), deps)


async def start_scheduled(every: timedelta, deps: Deps) -> None:
    """Writes the operation that is due by now, unless it is there: replicas may all do so."""
    await _start(scheduled(deps.clock.now(), every), deps)


async def _start(wanted: Collection, deps: Deps) -> Any:
    async with deps.unit_of_work() as uow:
        operation = await deps.collections.start(uow.session, wanted)
        await uow.commit()
    return operation


async def collect(run: CollectRun, deps: Deps) -> None:
    """One try, from the start: what an earlier one removed is simply no longer there."""
    collection = _Collecting(run, deps)
    await collection.expired_uploads()
    await collection.deleted_objects()
    await collection.bucket()
    found = collection.found
    async with deps.unit_of_work() as uow:
        await run.finish(uow.session, found)
        await uow.commit()
    log.info(
        "garbage_collected",
        project=run.job.project,
        dry_run=run.job.dry_run,
        orphan_count=found.orphans.count,
        freed_bytes=found.orphans.size_bytes + found.purged_objects.size_bytes,
        missing_count=found.missing.count,
    )


@dataclass(slots=True)
class _Collecting:
    """What one try has found so far."""

    run: CollectRun
    deps: Deps
    found: Collected = field(default_factory=Collected)

    async def expired_uploads(self) -> None:
        """Ends uploads that nobody completed."""
        expired = await sweep.expire_overdue(self._project, self.deps, dry_run=self._dry_run)
        if not self._dry_run:
            await sweep.purge_due(self.deps)
        self.found = replace(self.found, expired_uploads=expired)

    async def deleted_objects(self) -> None:
        """Removes deleted objects that nobody can bring back any more."""
        purged = await objects.purge_past_undo(self._project, self.deps, dry_run=self._dry_run)
        self.found = replace(self.found, purged_objects=purged)

    async def bucket(self) -> None:
        """Compares the bucket with the database, project by project."""
        async with self.deps.unit_of_work() as uow:
            known = await uow.quotas.projects()
        if self._project:
            known &= {self._project}
        else:
            unknown = sorted(set(await self.deps.objects.folders()) - known)
            self.found = replace(self.found, unknown_folders=tuple(unknown[:MOST_NAMED]))
        for project in sorted(known):
            await self._compare(project)
            await self._orphan_uploads(project)

    async def _compare(self, project: str) -> None:
        """Objects and bytes of one project, page by page."""
        began_at, after = self.deps.clock.now(), f"{project}/"
        while True:
            # The bucket first: a row is written before its bytes can come, so that none is missed.
            keys = await self.deps.objects.list_keys(f"{project}/", after, _PAGE)
            async with self.deps.unit_of_work() as uow:
                rows = await uow.objects.by_key(project, after, _PAGE)
            page = compare(keys, rows, _PAGE)
            await self._strangers(project, page.strangers)
            await self._absent([each for each in page.absent if each.created_at < began_at])
            self.found = replace(self.found, compared_count=self.found.compared_count + page.count)
            await self.run.progress(self.found.compared_count)
            if page.next_after is None:
                return
            after = page.next_after

    async def _strangers(self, project: str, keys: Sequence[StoredKey]) -> None:
        """Bytes that no object has: those that belong to nothing go, unless they are young."""
        now, grace = self.deps.clock.now(), self.deps.rules.orphan_grace
        old, young = split_by_age(keys, now, grace)
        orphans = await self._give_up(project, old)
        async with self.deps.unit_of_work() as uow:
            strange = await uow.garbage.strangers([each.key for each in young])
        self.found = replace(
            self.found,
            orphans=self.found.orphans + Sum.of(orphans),
            young_orphans=self.found.young_orphans + Sum.of([each for each in young if each.key in strange]),
        )

    async def _orphan_uploads(self, project: str) -> None:
        """Multipart uploads at the store that no pending upload has."""
        begun = await self.deps.objects.list_uploads(f"{project}/")
        old, _ = split_by_age(begun, self.deps.clock.now(), self.deps.rules.orphan_grace)
        for start in range(0, len(old), _PAGE):
            orphans = await self._give_up(project, old[start : start + _PAGE])
            count = self.found.orphan_upload_count + len(orphans)
            self.found = replace(self.found, orphan_upload_count=count)

    async def _give_up(self, project: str, keys: Sequence[StoredKey]) -> list[StoredKey]:
        """Returns those that belong to nothing; unless this is a dry run, they are deleted."""
        now = self.deps.clock.now()
        async with self.deps.unit_of_work() as uow:
            # Under this lock nothing of the project changes, and no other collection does the same.
            await uow.quotas.lock(project)
            strange = await uow.garbage.strangers([each.key for each in keys])
            orphans = [each for each in keys if each.key in strange]
            left = [
                Garbage(
                    each.key, bool(each.store_upload_id), each.store_upload_id, due_at=now, keep_until=now
                )
                for each in orphans
            ]
            if not self._dry_run:
                await uow.garbage.add(left)
                await uow.commit()
        if not self._dry_run:
            await garbage.purge(left, self.deps)
        return orphans

    async def _absent(self, rows: Sequence[StoredObject]) -> None:
        """Objects without bytes, looked at once more: they may have been deleted since the page was read."""
        missing = []
        for each in rows:
            if await self.deps.objects.size_of(each.key) is None:
                async with self.deps.unit_of_work() as uow:
                    if await uow.objects.has(each.key):
                        missing.append(each)
        if missing:
            log.error("bytes_missing", count=len(missing), first=missing[0].name)
        self.found = self.found.with_missing(missing)

    @property
    def _project(self) -> str:
        """Empty for all."""
        return "" if self.run.job.project == EVERYTHING else self.run.job.project

    @property
    def _dry_run(self) -> bool:
        return self.run.job.dry_run
