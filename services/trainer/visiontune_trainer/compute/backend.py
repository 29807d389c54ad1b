"""What every backend has to do, and how one is chosen by name."""

from collections.abc import Callable, Mapping

from visiontune_trainer.compute.local import LocalBackend
from visiontune_trainer.ports import Backend
from visiontune_trainer.settings import Settings


def _local(settings: Settings) -> Backend:
    return LocalBackend(
        settings.scratch_dir / "attempts",
        slots=settings.local_slots,
        environment=settings.worker_environment(),
        stop_grace_s=settings.local_stop_grace_s,
        stop_workers_at_exit=settings.local_stop_workers_at_exit,
    )


BACKENDS: Mapping[str, Callable[[Settings], Backend]] = {"local": _local}
