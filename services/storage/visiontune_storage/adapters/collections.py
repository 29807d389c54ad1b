"""Collections of garbage as durable operations of the kit."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit.operations import Operations, Run

from visiontune_storage import wire
from visiontune_storage.domain.garbage import KIND, Collected, Collection


@dataclass(slots=True)
class DurableCollections:
    """Implements `ports.Collections`. `operations` is set by the wiring, since its handlers need these."""

    operations: Operations | None = None

    async def start(self, session: AsyncSession, job: Collection) -> Any:
        """Creates the operation."""
        if self.operations is None:
            raise RuntimeError("the wiring has not set the operations")
        return await self.operations.create(
            session,
            name=job.operation,
            kind=KIND,
            payload=job.to_bytes(),
            metadata=wire.collect_metadata_to(job, compared_count=0),
        )


@dataclass(frozen=True, slots=True)
class DurableRun:
    """Implements `ports.CollectRun` on one try of the kit."""

    run: Run

    @property
    def job(self) -> Collection:
        """The payload, read."""
        return Collection.from_bytes(self.run.payload)

    async def progress(self, compared_count: int) -> None:
        """Stores the metadata."""
        await self.run.progress(wire.collect_metadata_to(self.job, compared_count))

    async def finish(self, session: AsyncSession, found: Collected) -> None:
        """Ends the operation with what was found as its response."""
        await self.run.finish(session, wire.collected_to(self.job, found))
