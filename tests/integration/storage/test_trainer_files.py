"""The trainer's side of storage, against the real service."""

import hashlib
from datetime import UTC, datetime

from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import channels
from visiontune_trainer.adapters.storage import StorageClient
from visiontune_trainer.domain.folders import Folder
from visiontune_trainer.ports import NewFile

from tests.support.storage import StorageHandle

CONTENT = b"weights"
JOB = "projects/default/trainingJobs/j"


async def test_a_file_has_one_upload_however_often_it_is_asked_for_and_another_once_that_has_ended(
    storage: StorageHandle,
) -> None:
    file = NewFile("model.safetensors", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    folder = Folder(JOB, "checkpoints/2", 1, datetime.now(UTC))
    async with channels.connect(storage.target, tokens=storage.trust.service_tokens("trainer")) as channel:
        client = StorageClient(channel)
        for _ in range(2):
            first = await client.create_upload(folder, file)
            assert (await client.create_upload(folder, file)).upload == first.upload  # signed afresh
            await storage.call_as_service("AbortUpload", pb.AbortUploadRequest(name=first.upload))
            second = await client.create_upload(folder, file)
            assert second.upload != first.upload
            assert (await client.create_upload(folder, file)).upload == second.upload
