"""Creating, reading, completing and aborting uploads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from visiontune_kit import faults, idempotency, logs
from visiontune_kit.errors import DataLoss

from visiontune_storage.domain.failures import PartsMissing, PartTooSmall, QuotaExceeded, StaleEtag
from visiontune_storage.domain.objects import Garbage, check_owner, check_users_own
from visiontune_storage.domain.uploads import (
    ReceivedPart,
    SigningWindow,
    State,
    Upload,
    check_content_type,
)
from visiontune_storage.ports import Deps, UnitOfWork
from visiontune_storage.use_cases import garbage
from visiontune_storage.use_cases.quotas import save_use

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class CreateUpload:
    """What a caller wants to upload."""

    project: str
    filename: str
    size_bytes: int
    sha256: str
    content_type: str
    owner: str
    by_service: bool  # whether one of our services asks, which alone may keep objects for a resource


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """An upload, and what its holder needs to go on with it."""

    upload: Upload
    part_urls: Sequence[str] = ()  # in part order; empty once it has ended
    window: SigningWindow | None = None  # of the URLs
    received: Sequence[ReceivedPart] = ()


async def create_upload(command: CreateUpload, deps: Deps) -> SignedUpload:
    """Reserves quota and signs the parts' URLs.

    Raises as check_command and reserve do.
    """
    check_command(command)
    upload, fresh = await reserve(command, deps)
    faults.point("create_upload.reserved")
    return await _signed(await started(upload, deps, fresh=fresh), deps)


async def reserve(command: CreateUpload, deps: Deps) -> tuple[Upload, bool]:
    """Reserves quota for a new upload; returns it, and whether it is new.

    A repeated request, whose id is derived from its request_id, finds the first one's upload. Raises
    QuotaExceeded, TooManyObjects, TooManyUploads.
    """
    wanted = _new_upload(command, deps)
    async with deps.unit_of_work() as uow:
        quota = await uow.quotas.lock(wanted.project)
        known = await uow.uploads.find(wanted.project, wanted.id)
        if known is not None:
            return known, False
        await save_use(quota.reserved(wanted.size_bytes), uow, deps)
        await uow.uploads.add(wanted)
        await uow.commit()
    return wanted, True


def check_command(command: CreateUpload) -> None:
    """Raises OwnerOutsideProject, OwnerReserved, ContentTypeInvalid."""
    check_owner(command.owner, command.project, "upload.owner")
    if not command.by_service:
        check_users_own(command.owner, command.project)
    check_content_type(command.content_type)


async def get_upload(project: str, upload_id: str, deps: Deps) -> SignedUpload:
    """Returns an upload; while it is PENDING with fresh URLs and the parts that have arrived."""
    async with deps.unit_of_work() as uow:
        upload = await uow.uploads.get(project, upload_id)
    if upload.state is not State.PENDING:
        return SignedUpload(upload)
    upload = await started(upload, deps)
    received = await deps.objects.list_parts(upload.key, upload.store_upload_id)
    return replace(await _signed(upload, deps), received=upload.chosen_parts(received or [], {}))


async def complete_upload(project: str, upload_id: str, named: Mapping[int, str], deps: Deps) -> Upload:
    """Verifies what was PUT and makes it an object.

    named: ETags that the caller got, by part number; may be empty. Raises PartsMissing, PartMismatch,
    PartTooSmall, UploadNotPending; SizeMismatch, DigestMismatch or QuotaExceeded once the bytes are given up.
    """
    async with deps.unit_of_work() as uow:
        upload = await uow.uploads.get(project, upload_id)
    if upload.state is State.COMPLETE:
        return upload
    upload.check_pending()
    try:
        await _verify(await started(upload, deps), named, deps)
        faults.point("complete_upload.verified")
        return await _commit_object(upload, deps)
    except (DataLoss, QuotaExceeded) as refusal:
        log.warning("upload_refused", upload=upload.name, reason=refusal.reason)
        await _give_up(upload, deps)
        raise


async def abort_upload(project: str, upload_id: str, deps: Deps, *, by_service: bool) -> Upload:
    """Deletes what was PUT and frees the reservation. Raises UploadComplete, UploadNotPending.

    A user's call raises OwnerReserved for what a service uploads: a checkpoint, a shard.
    """
    async with deps.unit_of_work() as uow:
        await uow.quotas.lock(project)
        upload = await uow.uploads.get(project, upload_id)
        if not by_service:
            check_users_own(upload.owner, project)
        if upload.state is State.ABORTED:
            return upload
        aborted, left = await end_without_object(upload.aborted(), uow, deps)
        await uow.commit()
    await garbage.purge([left], deps)
    return aborted


async def end_without_object(ended: Upload, uow: UnitOfWork, deps: Deps) -> tuple[Upload, Garbage]:
    """Writes an upload's end, frees its reservation, leaves its bytes as garbage; in the open transaction."""
    quota = await uow.quotas.lock(ended.project)
    await save_use(quota.released(ended.size_bytes), uow, deps)
    await uow.uploads.save(ended)
    now = deps.clock.now()
    left = Garbage(
        key=ended.key,
        from_upload=True,
        store_upload_id=ended.store_upload_id,
        due_at=now,
        keep_until=now + deps.rules.upload_url_ttl,
    )
    await uow.garbage.add([left])
    return ended, left


def _new_upload(command: CreateUpload, deps: Deps) -> Upload:
    now = deps.clock.now()
    upload_id = idempotency.new_id("u")
    return Upload(
        project=command.project,
        id=upload_id,
        filename=command.filename,
        size_bytes=command.size_bytes,
        sha256=command.sha256,
        content_type=command.content_type or "application/octet-stream",
        owner=command.owner or f"projects/{command.project}/uploads/{upload_id}",
        key=deps.new_key(command.project),
        part_size_bytes=deps.rules.parts.part_size_for(command.size_bytes),
        created_at=now,
        expires_at=now + deps.rules.upload_ttl,
    )


async def started(upload: Upload, deps: Deps, *, fresh: bool = False) -> Upload:
    """Returns the upload as the object store knows it, beginning it there when that has not happened yet.

    The row comes first: a crash in between leaves a row that any later call, or the sweep, finishes.
    fresh: this call made the row, so nobody can have begun it there.
    """
    if upload.store_upload_id or upload.state is not State.PENDING:
        return upload
    store_upload_id = None if fresh else await deps.objects.find_upload(upload.key)
    if store_upload_id is None:
        store_upload_id = await deps.objects.start_upload(upload.key, upload.content_type)
    faults.point("create_upload.started")
    begun = upload.started(store_upload_id)
    try:
        async with deps.unit_of_work() as uow:
            await uow.uploads.save(begun)
            await uow.commit()
    except StaleEtag:  # another call has begun it, or ended it, meanwhile
        async with deps.unit_of_work() as uow:
            winner = await uow.uploads.get(upload.project, upload.id)
        if winner.store_upload_id != store_upload_id:
            await deps.objects.cancel_upload(upload.key, store_upload_id)
        winner.check_pending()
        return winner
    return begun


async def _signed(upload: Upload, deps: Deps) -> SignedUpload:
    if upload.state is not State.PENDING:
        return SignedUpload(upload)
    window = SigningWindow.of(deps.clock.now(), deps.rules.upload_url_ttl)
    return SignedUpload(upload, await deps.objects.sign_parts(upload, window), window)


async def _verify(upload: Upload, named: Mapping[int, str], deps: Deps) -> None:
    """Makes one object of the parts and compares size and digest with what was declared."""
    try:
        await _assemble(upload, named, deps)
    except PartsMissing:
        # Not when another call, or one that died, has assembled them already.
        if await deps.objects.size_of(upload.key) is None:
            raise
    upload.check_size(await deps.objects.size_of(upload.key) or 0)
    upload.check_digest(await deps.objects.sha256_of(upload.key))


async def _assemble(upload: Upload, named: Mapping[int, str], deps: Deps) -> None:
    received = await deps.objects.list_parts(upload.key, upload.store_upload_id)
    if received is None:
        if await deps.objects.size_of(upload.key) is None:
            await _start_again(upload, deps)
        received = []
    parts = upload.chosen_parts(received, named)
    upload.check_parts(parts, named)
    if not await deps.objects.finish_upload(upload.key, upload.store_upload_id, parts):
        raise PartTooSmall(upload.name, upload.part_size_bytes)
    faults.point("complete_upload.assembled")


async def _start_again(upload: Upload, deps: Deps) -> None:
    """The object store has forgotten the upload: GetUpload will begin a new one there."""
    async with deps.unit_of_work() as uow:
        await uow.uploads.save(upload.started(""))
        await uow.commit()


async def _commit_object(upload: Upload, deps: Deps) -> Upload:
    """One transaction: the object is visible, the reservation is usage, the upload is COMPLETE.

    Raises QuotaExceeded when the limit was lowered meanwhile.
    """
    async with deps.unit_of_work() as uow:
        quota = await uow.quotas.lock(upload.project)
        # Read again: another caller may have completed, aborted or merely started it meanwhile.
        upload = await uow.uploads.get(upload.project, upload.id)
        if upload.state is State.COMPLETE:
            return upload
        done, made = upload.completed(at=deps.clock.now())
        await save_use(quota.settled(done.size_bytes), uow, deps)
        await uow.uploads.save(done)
        await uow.objects.add(made)
        await uow.commit()
    log.info("upload_completed", upload=done.name, size_bytes=done.size_bytes)
    return done


async def _give_up(upload: Upload, deps: Deps) -> None:
    """The bytes are not what was declared, or have no room: they go, and the upload is ABORTED."""
    async with deps.unit_of_work() as uow:
        await uow.quotas.lock(upload.project)
        upload = await uow.uploads.get(upload.project, upload.id)
        if upload.state is not State.PENDING:
            return
        _, left = await end_without_object(upload.aborted(), uow, deps)
        await uow.commit()
    await garbage.purge([left], deps)
