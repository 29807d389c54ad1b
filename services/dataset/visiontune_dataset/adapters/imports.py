"""What makes versions, as durable operations of the kit."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit.operations import Operations, Run

from visiontune_dataset import wire
from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.exports import Export, ExportJob, ExportState
from visiontune_dataset.domain.imports import ImportJob, ImportState
from visiontune_dataset.domain.work import MakesVersion, Work
from visiontune_dataset.ports import SignedUrl, StartedImport

J = TypeVar("J", bound=MakesVersion)


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

    async def get(self, session: AsyncSession, operation: str) -> Any:
        """Asks for the operation."""
        found = await self._ready.find(session, operation)
        return found and found[0]

    async def start(self, session: AsyncSession, work: Work, state: ImportState | ExportState) -> Any:
        """Creates the operation."""
        return await self._ready.create(
            session,
            name=work.operation,
            kind=work.kind,
            payload=work.to_bytes(),
            metadata=_metadata_to(state),
        )

    async def objects_in_use(self, session: AsyncSession, project: str) -> Set[str]:
        """Asks for imports that have not ended."""
        payloads = await self._ready.running(session, project, ImportJob.kind)
        return {each.object for payload in payloads for each in ImportJob.from_bytes(payload).given}

    async def unsettled(self, session: AsyncSession, dataset: str) -> Sequence[str]:
        """Asks for operations below the dataset."""
        return await self._ready.unsettled(session, dataset)

    @property
    def _ready(self) -> Operations:
        if self.operations is None:
            raise RuntimeError("the wiring has not set the operations")
        return self.operations


@dataclass(frozen=True, slots=True)
class DurableRun(Generic[J]):
    """Implements `ports.VersionRun` on one try of the kit; `job` is its payload, read."""

    run: Run
    job: J

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


@dataclass(frozen=True, slots=True)
class DurableExportRun:
    """Implements `ports.ExportRun` on one try of the kit."""

    run: Run
    job: ExportJob

    @property
    def restart_count(self) -> int:
        """Tries before this one."""
        return self.run.restart_count

    async def progress(self, state: ExportState) -> None:
        """Stores the metadata."""
        await self.run.progress(wire.export_metadata_to(state))

    async def finish(self, session: AsyncSession, export: Export, url: SignedUrl, state: ExportState) -> None:
        """Ends the operation with the export as its response."""
        await self.run.finish(session, wire.export_to(export, url), wire.export_metadata_to(state))


def _metadata_to(state: ImportState | ExportState) -> Message:
    if isinstance(state, ExportState):
        return wire.export_metadata_to(state)
    return wire.import_metadata_to(state)
