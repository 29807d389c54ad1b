"""Every knob of the dataset program."""

import os
import sys
import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from visiontune_data.limits import MIB, Limits
from visiontune_kit.settings import ServerSettings

_MOST_PROCESSES = 8


class Settings(ServerSettings):
    """Read once in `__main__`; see ServerSettings for where values come from."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_DATASET_", populate_by_name=True)

    storage_target: str = Field("127.0.0.1:8701", description="host:port of the storage service.")
    trainer_target: str = Field(
        "127.0.0.1:8703",
        description="host:port of the trainer, asked before datasets and versions go; empty: there is none.",
    )
    scratch_dir: Path = Field(
        Path(tempfile.gettempdir()) / "visiontune", description="Folder for the files of running imports."
    )
    enable_vision_training: bool = Field(
        True, validation_alias="ENABLE_VISION_TRAINING", description="False refuses formats with images."
    )
    import_processes: int = Field(
        min(_MOST_PROCESSES, os.cpu_count() or 1),
        ge=1,
        description="Processes that decode images, an import.",
    )
    import_concurrency: int = Field(1, ge=1, description="Imports that run at once in this replica.")
    operation_lease_s: float = Field(
        10.0, gt=0, description="Seconds of silence after which another replica takes an import over."
    )
    shard_bytes: int = Field(128 * MIB, ge=1, description="Size at which a shard is finished.")
    index_cache_bytes: int = Field(
        256 * MIB,
        ge=1,
        description="Memory for what filters and searches look at, of the versions used last.",
    )
    row_cache_bytes: int = Field(
        128 * MIB,
        ge=0,
        description="Memory for thumbnails and other small parts of shards that were read last.",
    )
    preview_target: str = Field(
        "",
        description="host:port of the program that augments pictures for a preview; empty: a child process, "
        "where the extra `worker` is installed.",
    )
    preview_idle_s: float = Field(
        300.0, gt=0, description="Seconds without a preview after which that child ends."
    )
    worker_python: Path = Field(
        Path(sys.executable),
        description="Python with the extra `worker`, which runs that child; it may be of another environment "
        "than this program's.",
    )
    undo_window_s: float = Field(
        7 * 86_400.0,
        ge=0,
        description="Seconds in which a deleted dataset or version can be brought back; so long it counts "
        "against the quota. 0 removes it at once.",
    )
    datasets_per_project: int = Field(1_000, ge=1, description="Most datasets of a project.")
    images_per_dataset: int = Field(10_000, ge=1, description="Most images of a version.")
    image_bytes: int = Field(20 * MIB, ge=1, description="Largest image file.")
    image_pixels: int = Field(64_000_000, ge=1, description="Most pixels of an image.")
    frames_per_video: int = Field(8, ge=1, le=64, description="Frames that are taken of a video.")
    messages_per_example: int = Field(100, ge=1, description="Most messages of an example.")
    record_bytes: int = Field(1 * MIB, ge=1, description="Largest record.")
    public_base_url: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="Where links to pictures begin: the gateway's address, or that of a CDN before it, for "
        "example https://images.example.org; empty: none are signed.",
    )
    image_hosts: str = Field(
        "",
        description="Hosts, by commas, from which images are fetched that records name by https URLs; "
        "`*.` before a name means all below it.",
    )
    expansion_ratio: int = Field(100, ge=1, description="Most bytes that may come out of one of an archive.")
    archive_bytes: int = Field(
        100 * 1024 * MIB, ge=1, description="Most bytes that an archive may unpack to."
    )

    @property
    def allowed_image_hosts(self) -> tuple[str, ...]:
        """The names in `image_hosts`."""
        return tuple(filter(None, map(str.strip, self.image_hosts.split(","))))

    def limits(self) -> Limits:
        """What one import may hold."""
        return Limits(
            images=self.images_per_dataset,
            image_bytes=self.image_bytes,
            image_pixels=self.image_pixels,
            messages_per_example=self.messages_per_example,
            record_bytes=self.record_bytes,
            expansion_ratio=self.expansion_ratio,
            archive_bytes=self.archive_bytes,
        )
