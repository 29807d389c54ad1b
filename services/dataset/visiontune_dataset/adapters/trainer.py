"""The trainer, asked who trains on what."""

from collections.abc import AsyncIterator

import grpc
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1.trainer_pb2_grpc import TrainerServiceStub
from visiontune_kit import errors

from visiontune_dataset.domain.failures import TrainerUnavailable

_PAGE = 1_000
_ENDED = frozenset(
    {pb.TrainingJob.STATE_SUCCEEDED, pb.TrainingJob.STATE_FAILED, pb.TrainingJob.STATE_CANCELLED}
)


class TrainerClient:
    """Implements `ports.Jobs`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TrainerServiceStub(channel)

    async def using(self, name: str) -> list[str]:
        """Asks ListTrainingJobs for those of the dataset or version, and leaves out what has ended."""
        try:
            return [job.name async for job in self._jobs(name) if job.state not in _ENDED]
        except (errors.Unavailable, errors.DeadlineExceeded) as error:
            raise TrainerUnavailable(name) from error

    async def _jobs(self, name: str) -> AsyncIterator[pb.TrainingJob]:
        parent = "/".join(name.split("/")[:2])
        request = pb.ListTrainingJobsRequest(parent=parent, dataset=name, page_size=_PAGE)
        while True:
            page = await self._stub.ListTrainingJobs(request)
            for job in page.training_jobs:
                yield job
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


class NoTrainer:
    """Implements `ports.Jobs` where nobody trains."""

    async def using(self, name: str) -> list[str]:
        """None."""
        return []
