"""What use cases are given: the outside world as ports, and the operator's choices."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from visiontune_kit.clock import Clock

from visiontune_trainer.domain.next_step import Policy
from visiontune_trainer.ports import Backend, Datasets, HubConfigs, ModelFolders, Storage, UnitOfWork
from visiontune_trainer.preview_ports import Previewer

# Names under which the loops wait.
RECONCILER = "loop:reconcile"
SWEEPER = "loop:sweep"
LOG_KEEPER = "loop:logs"


class Wakeups:
    """Tells waiting coroutines of this process that something about a job was committed."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, *names: str) -> None:
        """Wakes all that wait for one of the names."""
        for name in names:
            for event in self._waiting.get(name, ()):
                event.set()

    @contextmanager
    def listening(self, name: str) -> Iterator[asyncio.Event]:
        """Yields an event that each `notify` of `name` sets, so that none is missed between two waits."""
        event = asyncio.Event()
        self._waiting[name].add(event)
        try:
            yield event
        finally:
            self._waiting[name].discard(event)
            if not self._waiting[name]:
                del self._waiting[name]

    async def wait(self, name: str, timeout_s: float) -> None:
        """Returns at the next `notify` of `name`, at the latest after `timeout_s`."""
        with self.listening(name) as event:
            await within(timeout_s, event)


async def within(timeout_s: float, event: asyncio.Event) -> None:
    """Returns once the event is set, at the latest after `timeout_s`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


@dataclass(frozen=True)
class Deps:
    """Made once in `app`."""

    unit_of_work: Callable[[], UnitOfWork]
    storage: Storage
    datasets: Datasets
    backend: Backend
    model_folders: ModelFolders
    previewer: Previewer
    hub_configs: HubConfigs
    clock: Clock
    replica: str  # unique among running replicas
    new_token: Callable[[], str]
    policy: Policy = field(default_factory=Policy)
    wakeups: Wakeups = field(default_factory=Wakeups)
    # Set at shutdown, once workers that have to leave have left: until then they may report.
    dismissed: asyncio.Event = field(default_factory=asyncio.Event)
    heartbeat_interval_s: float = 2.0
    vision_enabled: bool = True
    model_roots: tuple[PurePosixPath, ...] = ()  # folders from which BaseModel.path may come
