"""What every backend has to do, and how one is chosen by name."""

from collections.abc import Callable, Mapping

import yaml
from visiontune_kit.clock import SystemClock

from visiontune_trainer.compute import devices
from visiontune_trainer.compute.local import LocalBackend
from visiontune_trainer.ports import Backend
from visiontune_trainer.settings import Settings


class SettingsMissing(ValueError):  # noqa: N818 - told at start, to the operator
    """A backend lacks settings."""

    def __init__(self, *variables: str) -> None:
        super().__init__(
            "The kubernetes backend needs " + " and ".join(f"VISIONTUNE_TRAINER_{name}" for name in variables)
        )


def _local(settings: Settings) -> Backend:
    return LocalBackend(
        settings.scratch_dir / "attempts",
        slots=settings.local_slots,
        environment=settings.worker_environment(),
        command=(str(settings.worker_python), "-m", "visiontune_worker"),
        stop_grace_s=settings.local_stop_grace_s,
        stop_workers_at_exit=settings.local_stop_workers_at_exit,
        accelerators=[devices.named(name)] if (name := settings.local_accelerator) else devices.found(),
    )


def _kubernetes(settings: Settings) -> Backend:
    # Where workers are child processes, the cluster's client need not be installed.
    from visiontune_trainer.compute.kubernetes.accelerators import Places  # noqa: PLC0415
    from visiontune_trainer.compute.kubernetes.api import connect  # noqa: PLC0415
    from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend  # noqa: PLC0415
    from visiontune_trainer.compute.kubernetes.manifests import PodChoices  # noqa: PLC0415

    if not settings.kubernetes_worker_image or not settings.worker_target:
        raise SettingsMissing("KUBERNETES_WORKER_IMAGE", "WORKER_TARGET")
    patch = settings.kubernetes_pod_patch_file
    choices = PodChoices(
        image=settings.kubernetes_worker_image,
        installation=settings.kubernetes_installation,
        namespace=settings.kubernetes_namespace,
        service_account=settings.kubernetes_service_account,
        image_pull_policy=settings.kubernetes_image_pull_policy,
        environment=_of_pods(settings),
        cpus=settings.kubernetes_cpus,
        memory_gib=settings.kubernetes_memory_gib,
        shm_gib=settings.kubernetes_shm_gib,
        scratch_gib=settings.kubernetes_scratch_gib,
        user_id=settings.kubernetes_user_id,
        grace_s=settings.kubernetes_stop_grace_s,
        keep_s=settings.kubernetes_keep_s,
        ca=_ca_of(settings),
        patch=yaml.safe_load(patch.read_text(encoding="utf-8")) if patch else {},
    )
    return KubernetesBackend(
        lambda: connect(settings.kubernetes_kubeconfig, settings.kubernetes_namespace),
        Places.from_file(settings.kubernetes_accelerators_file),
        choices,
        SystemClock(),
    )


def _ca_of(settings: Settings) -> str:
    """What workers trust this service by; empty where it serves plain text."""
    if settings.tls_certificate_file is None or settings.tls_ca_file is None:
        return ""
    return settings.tls_ca_file.read_text(encoding="utf-8")


def _of_pods(settings: Settings) -> dict[str, str]:
    """What every worker is told, but for the paths of files that its pod does not have.

    Of them it gets the CA alone: a certificate of ours would open every service to what users bring.
    """
    told = settings.worker_environment()
    return {name: value for name, value in told.items() if not name.startswith("VISIONTUNE_WORKER_TLS_")}


BACKENDS: Mapping[str, Callable[[Settings], Backend]] = {"local": _local, "kubernetes": _kubernetes}
