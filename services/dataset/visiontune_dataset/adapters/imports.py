"""Imports as durable operations of the kit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit.operations import Operations, Run

from visiontune_dataset import wire
from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.imports import KIND, ImportJob, ImportState
from visiontune_dataset.ports import StartedImport


@dataclass(slots=True)
class DurableImports:
    """Implements `ports.Imports`. `operations` is set by the wiring, since its handlers need these."""

    operations: Operations | None = None

    async def find(self, session: AsyncSession, operation: str) -> StartedImport | None:
        """Asks for the operation and its payload."""
        if (found := await self._ready.find(session, operation)) is None:
            return None
        operation_now, payload = found
        return StartedImport(
            ImportJob.from_bytes(payload), operation_now, in_vain=operation_now.HasField("error")
        )

    async def start(self, session: AsyncSession, job: ImportJob, state: ImportState) -> Any:
        """Creates the operation."""
        return await self._ready.create(
            session,
            name=job.operation,
            kind=KIND,
            payload=job.to_bytes(),
            metadata=wire.import_metadata_to(state),
        )

    async def unsettled(self, session: AsyncSession, dataset: str) -> Sequence[str]:
        """Asks for operations below the dataset."""
        return await self._ready.unsettled(session, dataset)

    @property
    def _ready(self) -> Operations:
        if self.operations is None:
            raise RuntimeError("the wiring has not set the operations")
        return self.operations


@dataclass(frozen=True, slots=True)
class DurableRun:
    """Implements `ports.ImportRun` on one try of the kit."""

    run: Run

    @property
    def job(self) -> ImportJob:
        """The payload, read."""
        return ImportJob.from_bytes(self.run.payload)

    @property
    def restart_count(self) -> int:
        """Tries before this one."""
        return self.run.restart_count

    async def progress(self, state: ImportState) -> None:
        """Stores the metadata."""
        await self.run.progress(wire.import_metadata_to(state))

    async def finish(self, session: AsyncSession, version: Version, state: ImportState) -> None:
        """Ends the operation with the version as its response."""
        await self.run.finish(session, wire.version_to(version), wire.import_metadata_to(state))
