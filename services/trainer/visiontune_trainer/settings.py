"""Every knob of the trainer."""

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path, PurePosixPath

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict
from visiontune_kit.settings import ServerSettings

from visiontune_trainer.domain.next_step import Policy


class Settings(ServerSettings):
    """Read once in `__main__`; see ServerSettings for where values come from."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_TRAINER_", populate_by_name=True)

    storage_target: str = Field("127.0.0.1:8701", description="host:port of the storage service (gRPC).")
    dataset_target: str = Field("127.0.0.1:8702", description="host:port of the dataset service (gRPC).")
    backend: str = Field("local", description="Where workers run: local or kubernetes.")
    worker_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the workers' API alone, where nobody has to show a certificate; 0: it is served "
        "at the gRPC port.",
    )
    worker_target: str = Field(
        "", description="host:port at which workers reach this service; empty: its own host and port."
    )
    scratch_dir: Path = Field(
        Path(tempfile.gettempdir()) / "visiontune", description="Folder for the files of running workers."
    )
    worker_python: Path = Field(
        Path(sys.executable),
        description="Python with the extra `worker`, which runs local workers and previews; it may be of "
        "another environment than this program's.",
    )
    model_roots: str = Field(
        "",
        validation_alias=AliasChoices("VISIONTUNE_TRAINER_MODEL_ROOTS", "VISIONTUNE_WORKER_MODEL_ROOTS"),
        description=f"Folders from which a base model may be read, separated by '{os.pathsep}'.",
    )
    trusted_repositories: str = Field(
        "",
        validation_alias=AliasChoices(
            "VISIONTUNE_TRAINER_TRUSTED_REPOSITORIES", "VISIONTUNE_WORKER_TRUSTED_REPOSITORIES"
        ),
        description="Hub repositories, and folders, whose own Python code workers may run, by commas.",
    )
    read_hub: bool = Field(
        False,
        description="Read config.json of models on the Hugging Face Hub, so that jobs on them are estimated. "
        "Its library's own variables say where that is: HF_ENDPOINT, HF_HOME, HF_TOKEN.",
    )
    report_to: str = Field(
        "",
        validation_alias=AliasChoices("VISIONTUNE_TRAINER_REPORT_TO", "VISIONTUNE_WORKER_REPORT_TO"),
        description="Trackers that get workers' metrics too, by commas: mlflow, tensorboard, trackio, wandb.",
    )
    report_dir: str = Field(
        "",
        validation_alias=AliasChoices("VISIONTUNE_TRAINER_REPORT_DIR", "VISIONTUNE_WORKER_REPORT_DIR"),
        description="Folder, where workers run, for TensorBoard's files.",
    )
    enable_vision_training: bool = Field(
        True, validation_alias="ENABLE_VISION_TRAINING", description="False refuses families that see."
    )
    preview_target: str = Field(
        "",
        description="host:port of the program that encodes examples for a preview; empty: a child process, "
        "where the extra `worker` is installed.",
    )
    preview_idle_s: float = Field(
        300.0, gt=0, description="Seconds without a preview after which that child ends."
    )
    preview_most_s: float = Field(
        50.0, gt=0, description="Seconds after which a preview is given up and the child is killed."
    )
    preview_memory_gib: float = Field(4.0, gt=0, description="GiB of memory that the child may take.")
    preview_downloads: bool = Field(
        False, description="Whether the child may download processors of models on the Hub."
    )
    local_slots: int = Field(1, ge=1, description="Workers that run at once on this machine.")
    local_stop_grace_s: float = Field(
        10.0, gt=0, description="Seconds that a worker gets to save a checkpoint when asked to end."
    )
    local_stop_workers_at_exit: bool = Field(
        True,
        description="Ask workers to leave at shutdown; they go on from their checkpoint at the next start. "
        "False leaves them running.",
    )
    local_accelerator: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9-]{0,62}(:[1-9][0-9]{0,4})?)?$",
        description="Accelerator of this machine, as NAME or NAME:GIB of its memory; empty: the first that "
        "NVIDIA's management library finds. Jobs that ask for another one are refused.",
    )
    kubernetes_namespace: str = Field("visiontune-jobs", description="Namespace of the workers' pods.")
    kubernetes_installation: str = Field(
        "visiontune",
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Label of all that this trainer makes and looks at; another one for each trainer that "
        "shares the namespace.",
    )
    kubernetes_kubeconfig: str = Field(
        "", description="Kubeconfig by which the cluster is reached; empty: this pod's own account."
    )
    kubernetes_worker_image: str = Field("", description="Image of the worker; required for kubernetes.")
    kubernetes_image_pull_policy: str = Field(
        "IfNotPresent", pattern="^(Always|IfNotPresent|Never)$", description="When the image is pulled."
    )
    kubernetes_accelerators_file: Path | None = Field(
        None, description="YAML file with the names of accelerators, queues and priorities that jobs may use."
    )
    kubernetes_pod_patch_file: Path | None = Field(
        None, description="YAML file with a strategic-merge patch of the workers' pod template."
    )
    kubernetes_service_account: str = Field(
        "visiontune-worker", description="Service account of the workers' pods; it needs no rights."
    )
    kubernetes_cpus: float = Field(2.0, gt=0, description="CPUs for each process of a worker.")
    kubernetes_memory_gib: int = Field(16, ge=1, description="GiB of memory for each process of a worker.")
    kubernetes_shm_gib: int = Field(2, ge=1, description="GiB of shared memory for each process, on top.")
    kubernetes_scratch_gib: int = Field(50, ge=1, description="GiB of scratch disk of a worker's pod.")
    kubernetes_user_id: int = Field(10001, ge=1, description="User id of the workers' processes.")
    kubernetes_stop_grace_s: int = Field(
        120, ge=1, description="Seconds that a pod gets to save a checkpoint when asked to end."
    )
    kubernetes_keep_s: int = Field(
        86_400, ge=0, description="Seconds that the Job of an ended worker stays to be looked at."
    )
    heartbeat_interval_s: float = Field(2.0, gt=0, description="Seconds between two reports of a worker.")
    heartbeat_timeout_s: float = Field(
        60.0, gt=0, description="Seconds of silence after which a worker is taken for dead."
    )
    start_timeout_s: float = Field(
        300.0, gt=0, description="Seconds that a worker gets from its launch to its first word."
    )
    cancel_grace_s: float = Field(
        15.0, ge=0, description="Seconds that a worker gets to obey before it is stopped."
    )
    pause_grace_s: float = Field(
        600.0,
        ge=0,
        description="Seconds that a worker gets to save and leave for a pause before it is stopped.",
    )
    retry_first_s: float = Field(1.0, ge=0, description="Seconds before the second attempt; doubles.")
    retry_most_s: float = Field(60.0, ge=0, description="Most seconds between two attempts.")

    def policy(self) -> Policy:
        """How patient the trainer is."""
        return Policy(
            heartbeat_timeout=timedelta(seconds=self.heartbeat_timeout_s),
            start_timeout=timedelta(seconds=self.start_timeout_s),
            cancel_grace=timedelta(seconds=self.cancel_grace_s),
            pause_grace=timedelta(seconds=self.pause_grace_s),
            backoff_first=timedelta(seconds=self.retry_first_s),
            backoff_most=timedelta(seconds=self.retry_most_s),
        )

    def roots(self) -> tuple[PurePosixPath, ...]:
        """Folders from which a base model may be read."""
        return tuple(PurePosixPath(root) for root in self.model_roots.split(os.pathsep) if root)

    def preview_environment(self) -> dict[str, str]:
        """What the child is told that shows examples."""
        return {
            "VISIONTUNE_PREVIEW_IDLE_S": str(self.preview_idle_s),
            "VISIONTUNE_PREVIEW_CALL_MOST_S": str(self.preview_most_s),
            "VISIONTUNE_PREVIEW_MEMORY_GIB": str(self.preview_memory_gib),
            "VISIONTUNE_PREVIEW_DOWNLOADS": str(self.preview_downloads),
            "VISIONTUNE_PREVIEW_MODEL_ROOTS": self.model_roots,
            "VISIONTUNE_PREVIEW_TRUSTED_REPOSITORIES": self.trusted_repositories,
        }

    def worker_environment(self) -> dict[str, str]:
        """What every worker is told, whichever attempt it runs; an operator's VISIONTUNE_WORKER_X wins."""
        own_host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        told = {
            "VISIONTUNE_WORKER_TRAINER_TARGET": self.worker_target
            or f"{own_host}:{self.worker_port or self.port}",
            "VISIONTUNE_WORKER_MODEL_ROOTS": self.model_roots,
            "VISIONTUNE_WORKER_TRUSTED_REPOSITORIES": self.trusted_repositories,
            "VISIONTUNE_WORKER_REPORT_TO": self.report_to,
            "VISIONTUNE_WORKER_REPORT_DIR": self.report_dir,
            "VISIONTUNE_OTLP_ENDPOINT": self.otlp_endpoint,
            "VISIONTUNE_WORKER_TLS_CA_FILE": str(self.tls_ca_file or ""),
            "VISIONTUNE_WORKER_TLS_CERTIFICATE_FILE": str(self.tls_certificate_file or ""),
            "VISIONTUNE_WORKER_TLS_KEY_FILE": str(self.tls_key_file or ""),
            "VISIONTUNE_WORKER_LOG_LEVEL": self.log_level,
            "VISIONTUNE_WORKER_LOG_FORMAT": self.log_format,
        }
        return {name: value for name, value in told.items() if value}
