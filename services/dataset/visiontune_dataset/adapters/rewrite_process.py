"""Makes versions of versions, each in a process of its own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from visiontune_data.example import Example
from visiontune_data.ingest import Options, Progress
from visiontune_data.rewrite import Rewritten
from visiontune_data.shards import Shard

from visiontune_dataset.adapters import rewrite_child
from visiontune_dataset.adapters.child_process import converse
from visiontune_dataset.ports import ReadableShard


class ProcessRewriter:
    """Implements `ports.Rewriter`."""

    async def run(
        self,
        base: Sequence[ReadableShard],
        changed: Mapping[str, Example | None],
        added: Sequence[Example],
        uploads: Mapping[str, str],
        format_name: str,
        name: str,
        scratch: Path,
        options: Options,
        *,
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Rewritten:
        """Starts the process and passes on what it tells."""
        task = rewrite_child.Task(
            tuple(base), changed, tuple(added), uploads, format_name, name, scratch, options
        )
        rewritten: Rewritten = await converse(rewrite_child.run, task, {Progress: progress, Shard: finished})
        return rewritten
