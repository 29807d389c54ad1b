"""Writes archives, each in a process of its own."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from visiontune_data.export import ExportSummary

from visiontune_dataset.adapters import export_child
from visiontune_dataset.adapters.child_process import converse
from visiontune_dataset.domain.exports import ExportJob
from visiontune_dataset.domain.failures import ExportUnfit
from visiontune_dataset.ports import ReadableShard


class ProcessExporter:
    """Implements `ports.Exporter`."""

    async def run(
        self,
        shards: Sequence[ReadableShard],
        job: ExportJob,
        file: Path,
        *,
        progress: Callable[[int], Awaitable[None]],
    ) -> ExportSummary:
        """Starts the process and passes on what it tells."""
        task = export_child.Task(tuple(shards), job.format, job.archive, file)

        async def hear(written: export_child.Written) -> None:
            await progress(written.count)

        match await converse(export_child.run, task, {export_child.Written: hear}):
            case ExportSummary() as summary:
                return summary
            case export_child.Unfit(reason):
                name = f"{job.dataset_name}/versions/v{job.version}"
                raise ExportUnfit(name, reason, "choose another format, or edit the example")
        raise AssertionError("an export ends with one of the two")
