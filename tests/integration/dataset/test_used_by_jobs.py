"""What training jobs use stays, unless it is forced away: the real trainer is asked."""

import socket
from pathlib import Path
from typing import cast

import pytest
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2
from visiontune_kit import errors

from tests.integration.dataset.test_deletion import remove_when_idle
from tests.support import archives
from tests.support.dataset import DatasetHandle, running_dataset
from tests.support.fake_services import FakeDatasets
from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, trainer_beside


async def refusal(service: DatasetHandle, version: str, *, force: bool = False) -> errors.Failure:
    with pytest.raises(errors.Failure) as refused:
        await remove(service, version, force=force)
    return refused.value


async def remove(service: DatasetHandle, name: str, *, force: bool = False) -> None:
    """Deletes a dataset or a version."""
    if "/versions/" in name:
        await service.call("DeleteVersion", pb.DeleteVersionRequest(name=name, force=force))
    else:
        await service.call("DeleteDataset", pb.DeleteDatasetRequest(name=name, force=force))


async def cancelled(trainer: TrainerHandle, job: trainer_pb2.TrainingJob) -> None:
    await trainer.call("CancelTrainingJob", trainer_pb2.CancelTrainingJobRequest(name=job.name))
    await trainer.until(job.name, "CANCELLED")


async def test_what_jobs_use_stays_unless_forced(
    s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with running_dataset(s3, tmp_path, trainer_target=f"127.0.0.1:{port}") as service:
        dataset = await service.create("digits")
        first = await service.imported(dataset, archives.numbered(20))
        second = await service.imported(dataset, archives.numbered(21))
        third = await service.imported(dataset, archives.numbered(22))

        # While the trainer is away, force alone deletes.
        for name in (third.name, dataset.name):
            failure = await refusal(service, name)
            assert (type(failure), failure.reason) == (errors.Unavailable, "TrainerUnavailable")
        await remove_when_idle(service, third.name)

        async with trainer_beside(
            service.storage, cast("FakeDatasets", None), service.target, tmp_path, port=port
        ) as trainer:
            job = await trainer.create()  # on v1
            await cancelled(trainer, await trainer.create("ended"))
            monkeypatch.setattr("visiontune_dataset.adapters.trainer._PAGE", 1)  # the first shows what ended
            for name in (first.name, dataset.name):
                failure = await refusal(service, name)
                assert (type(failure), failure.reason) == (errors.FailedPrecondition, "InUseByJobs")
                assert f"1 training jobs that have not ended use {name}: {job.name}. " in failure.message
            await remove(service, second.name)  # which no job uses
            await cancelled(trainer, job)
            assert (await refusal(service, dataset.name)).reason == "DatasetNotEmpty"
            await remove(service, first.name)
            other = await service.imported(dataset, archives.numbered(4))
            await trainer.create("other", version=other.name.rpartition("/")[2])
            await remove_when_idle(service, other.name)
            await remove(service, dataset.name, force=True)
            await service.until_objects(0)
