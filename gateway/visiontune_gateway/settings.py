"""Every knob of the gateway."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict
from visiontune_kit.settings import ServerSettings

MIB = 1024 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Settings(ServerSettings):
    """Read once in `__main__`; see ServerSettings for where values come from."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_GATEWAY_")

    port: int = Field(8700, ge=0, le=65535, description="HTTP port; 0 takes a free one.")
    grpc_port: int = Field(0, ge=0, le=65535, description="Port of the gRPC IdentityService; 0: a free one.")
    storage_target: str = Field("127.0.0.1:8701", description="host:port of the storage service.")
    dataset_target: str = Field("127.0.0.1:8702", description="host:port of the dataset service.")
    trainer_target: str = Field("127.0.0.1:8703", description="host:port of the trainer.")
    identity_target: str = Field(
        "", description="host:port of the IdentityService; empty: this process's own."
    )
    request_limit_bytes: int = Field(
        4 * MIB, ge=1024, description="Largest request body; files go to the object store by signed URL."
    )
    call_timeout_s: float = Field(60.0, gt=0, description="Deadline of a call, watches excepted.")
    sse_comment_interval_s: float = Field(
        15.0, gt=0, description="Seconds of silence after which a watch sends a comment."
    )
    web_folder: Path = Field(
        Path(__file__).parent / "web", description="The built web UI; the wheel brings its own."
    )
    object_store_origins: str = Field(
        "",
        description="Origins of signed URLs, space-separated, which the web UI may reach, for example "
        "https://s3.example.org; empty: any port of 127.0.0.1 when listening there.",
    )

    @model_validator(mode="after")
    def _fill_origins(self) -> Self:
        if not self.object_store_origins and self.host in _LOOPBACK:
            self.object_store_origins = "http://127.0.0.1:* http://localhost:*"
        return self
