"""Every knob of the worker."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from visiontune_kit.tls import ClientTls

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Read once in `__main__` from `VISIONTUNE_WORKER_X`; the backend that starts the worker sets them."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_WORKER_", env_file=None, populate_by_name=True)

    trainer_target: str = Field(description="host:port of the trainer's gRPC.")
    attempt: str = Field(
        pattern=r"^projects/[^/]+/trainingJobs/[^/]+/attempts/[1-9][0-9]*$",
        description="The attempt to run: projects/P/trainingJobs/J/attempts/N.",
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="The attempt's token; empty where `pod_token_file` is given.",
    )
    pod_token_file: Path | None = Field(
        default=None,
        description="This pod's own token, to be exchanged for the attempt's.",
    )
    scratch_dir: Path = Field(
        description="Folder of its own for shards, checkpoints and results in the making."
    )
    model_roots: str = Field(
        default="", description=f"Folders below which base models may lie, separated by `{os.pathsep}`."
    )
    trusted_repositories: str = Field(
        default="",
        description="Hub repositories, and folders, whose own Python code may run, separated by commas.",
    )
    threads: int = Field(
        default=0, ge=0, description="Threads of torch; 0 means one a core, and one in all for small models."
    )
    shard_cache_bytes: int = Field(
        default=20 * 1024 * MIB, ge=0, description="Shards kept on the scratch disk for the next epoch."
    )
    example_cache_bytes: int = Field(
        default=512 * MIB, ge=0, description="Encoded examples kept in memory for the next epoch."
    )
    data_workers: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="Threads that decode and put batches together; 0: the training itself does. By the cores "
        "when unset.",
    )
    feature_cache_bytes: int = Field(
        default=20 * 1024 * MIB, ge=0, description="Features of frozen vision towers kept on disk."
    )
    feature_cache_dir: Path | None = Field(
        default=None,
        description="Folder for them that outlives attempts and may be shared; unset: in scratch_dir.",
    )
    patience_s: float = Field(
        default=600.0, gt=0, description="How long an absent trainer or object store is waited for."
    )
    tls_ca_file: Path | None = Field(default=None, description="CA of the trainer; empty means plain text.")
    tls_certificate_file: Path | None = Field(
        default=None, description="Certificate (PEM) for a trainer that demands mTLS."
    )
    tls_key_file: Path | None = Field(default=None, description="Private key of the certificate (PEM).")
    otlp_endpoint: str = Field(
        default="",
        validation_alias="VISIONTUNE_OTLP_ENDPOINT",
        description="OTLP gRPC collector; empty: none.",
    )
    report_to: str = Field(
        default="",
        description="Trackers that get the metrics as well, by commas: mlflow, tensorboard, trackio, wandb. "
        "Their packages have to be installed; where they are and with which key, their own variables say.",
    )
    report_dir: Path | None = Field(
        default=None, description="Folder for TensorBoard's files, which outlives the worker."
    )
    device: str = Field(
        default="auto",
        pattern="^(auto|cpu)$",
        description="auto: the accelerators that the job asks for. cpu: the processor all the same, for "
        "test clusters whose nodes only claim to have accelerators.",
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    log_format: str = Field(default="json", pattern="^(json|console)$", description="json or console.")
    traceparent: str = Field(
        default="", validation_alias="TRACEPARENT", description="W3C trace context of the launch."
    )

    # What torchrun sets in each of several processes; one process alone has none of them.
    rank: int = Field(default=0, ge=0, validation_alias="RANK", description="Number of this process.")
    ranks: int = Field(default=1, ge=1, validation_alias="WORLD_SIZE", description="Processes in all.")
    local_rank: int = Field(
        default=0, ge=0, validation_alias="LOCAL_RANK", description="Number among those of this machine."
    )
    local_ranks: int = Field(
        default=1, ge=1, validation_alias="LOCAL_WORLD_SIZE", description="Processes on this machine."
    )
    master_addr: str = Field(
        default="127.0.0.1", validation_alias="MASTER_ADDR", description="Host of process 0."
    )

    @model_validator(mode="after")
    def _has_a_token(self) -> Self:
        if not self.token.get_secret_value() and self.pod_token_file is None:
            raise ValueError("set VISIONTUNE_WORKER_TOKEN, or VISIONTUNE_WORKER_POD_TOKEN_FILE in a pod")
        return self

    @property
    def client_tls(self) -> ClientTls | None:
        """How the trainer is called; None means plain text."""
        return ClientTls.of(self.tls_ca_file, self.tls_certificate_file, self.tls_key_file)

    @property
    def own_scratch_dir(self) -> Path:
        """The part of the scratch folder that no other process of this machine uses."""
        return self.scratch_dir / f"rank-{self.rank}" if self.ranks > 1 else self.scratch_dir

    @property
    def trusted(self) -> frozenset[str]:
        """`trusted_repositories`, one by one."""
        return names(self.trusted_repositories)

    @property
    def trackers(self) -> tuple[str, ...]:
        """`report_to`, one by one."""
        return tuple(filter(None, map(str.strip, self.report_to.split(","))))

    @property
    def roots(self) -> tuple[Path, ...]:
        """`model_roots` as resolved folders."""
        return paths(self.model_roots)


def names(text: str) -> frozenset[str]:
    """Names separated by commas, one by one."""
    return frozenset(filter(None, map(str.strip, text.split(","))))


def paths(text: str) -> tuple[Path, ...]:
    """Folders separated by `os.pathsep`, resolved."""
    return tuple(Path(each).resolve() for each in text.split(os.pathsep) if each)
