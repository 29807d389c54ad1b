"""Files that are small enough to come within one call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from visiontune_kit import faults
from visiontune_kit.errors import Failure

from visiontune_storage.domain.failures import TooLargeForOneCall
from visiontune_storage.domain.uploads import State, Upload
from visiontune_storage.ports import Deps
from visiontune_storage.use_cases import uploads
from visiontune_storage.use_cases.uploads import CreateUpload


async def upload_bytes(command: CreateUpload, chunks: AsyncIterator[bytes], deps: Deps) -> Upload:
    """Takes a file and makes it an object; whatever goes wrong, and whoever leaves, nothing stays.

    The bytes are verified before anything is reserved or written. Raises as create_upload and
    complete_upload do; TooLargeForOneCall, TooMuchInFlight, FileEmpty, TimeoutError when it is too slow.
    """
    uploads.check_command(command)
    limit_bytes = deps.rules.small_upload_limit_bytes
    if command.size_bytes > limit_bytes:
        raise TooLargeForOneCall(limit_bytes)
    with deps.in_flight.file(limit_bytes) as arriving:
        async with asyncio.timeout(deps.rules.small_upload_timeout.total_seconds()):
            async for chunk in chunks:
                arriving.add(chunk)
        arriving.check(command.filename, command.size_bytes, command.sha256)
        whole = replace(command, size_bytes=len(arriving.content))
        return await _keep(whole, memoryview(arriving.content), deps)


async def _keep(command: CreateUpload, content: memoryview, deps: Deps) -> Upload:
    upload, fresh = await uploads.reserve(command, deps)
    while upload.state in {State.ABORTED, State.EXPIRED}:  # of a try before with the same request_id
        upload, fresh = await uploads.reserve(command, deps)
    if upload.state is State.COMPLETE:
        return upload
    size = upload.part_size_bytes
    try:
        upload = await uploads.started(upload, deps, fresh=fresh)
        for part in range(upload.part_count):
            data = content[part * size : (part + 1) * size]
            await deps.objects.put_part(upload.key, upload.store_upload_id, part + 1, data)
        faults.point("upload_bytes.put")
        return await uploads.complete_upload(upload.project, upload.id, {}, deps)
    except BaseException:
        await asyncio.shield(_leave_nothing(upload, deps))
        raise


async def _leave_nothing(upload: Upload, deps: Deps) -> None:
    """What cannot be undone now expires; what is complete stays, for the same request_id."""
    with suppress(Failure):
        await uploads.abort_upload(upload.project, upload.id, deps, by_service=True)
