"""Every knob of the storage program."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from visiontune_kit.settings import ServerSettings

from visiontune_storage.domain.uploads import MIB

GIB = 1024 * MIB


_ENDPOINT = r"^[^\s/:]+(:\d+)?(/[^\s?#]*)?$|^\[[0-9a-fA-F:]+\](:\d+)?(/[^\s?#]*)?$"


class Settings(ServerSettings):
    """Read once in `__main__`; see ServerSettings for where values come from."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_STORAGE_")

    bucket: str = Field(
        "vision-training-datasets", min_length=3, max_length=63, description="Bucket that keeps all objects."
    )
    s3_endpoint: str = Field(
        "127.0.0.1:8720",
        pattern=_ENDPOINT,
        description="host:port of the S3 server, without a scheme, then the path of S3 there if it has one.",
    )
    s3_public_endpoint: str = Field(
        "",
        pattern=f"^$|{_ENDPOINT}",
        description="The same as clients reach it, for signed URLs; empty: the same.",
    )
    s3_region: str = Field("us-east-1", description="Region to sign for; AWS refuses another than its own.")
    s3_access_key: SecretStr = Field(SecretStr(""), description="Access key; no other program needs it.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Secret key; no other program needs it.")
    s3_access_key_file: Path | None = Field(
        None, description="File with the access key, read again when it changes; instead of s3_access_key."
    )
    s3_secret_key_file: Path | None = Field(
        None, description="File with the secret key, likewise: keys rotate without a restart."
    )
    s3_secure: bool = Field(False, description="Speak TLS to the S3 server.")
    s3_public_secure: bool | None = Field(
        None, description="Sign https URLs for clients; the same as s3_secure when unset."
    )
    default_limit_bytes: int = Field(
        10 * GIB, ge=0, description="Quota of a project for which an operator has set none."
    )
    default_limit_objects: int = Field(
        100_000, ge=0, description="Most objects of a project for which an operator has set no limit."
    )
    default_limit_pending_uploads: int = Field(
        1_000, ge=0, description="Most uploads in flight of such a project."
    )
    single_part_limit_bytes: int = Field(
        64 * MIB, ge=1, le=5 * GIB, description="Larger uploads are cut into parts."
    )
    part_size_bytes: int = Field(
        32 * MIB, ge=5 * MIB, le=5 * GIB, description="Least size of such a part; it grows with the upload."
    )
    small_upload_limit_bytes: int = Field(
        16 * MIB, ge=0, le=64 * MIB, description="Largest file that a call takes by itself, by UploadBytes."
    )
    small_uploads_memory_bytes: int = Field(
        128 * MIB, ge=0, description="Most bytes of such files that wait in memory for the object store."
    )
    small_upload_timeout_s: float = Field(
        60.0, gt=0, description="Seconds that such a file may take to arrive."
    )
    upload_ttl_s: int = Field(
        86_400, ge=1, description="Seconds after which an unfinished upload is deleted."
    )
    upload_url_ttl_s: int = Field(
        3_600, ge=1, le=604_800, description="Seconds for which a signed PUT URL works."
    )
    read_url_ttl_s: int = Field(
        3_600,
        ge=1,
        le=604_800,
        description="Seconds for which a signed GET URL works, unless asked otherwise.",
    )
    ended_upload_ttl_s: int = Field(
        30 * 86_400, ge=1, description="Seconds for which an ended upload can still be read."
    )
    orphan_grace_s: int = Field(
        7 * 86_400,
        ge=3_600,
        description="Seconds for which bytes that belong to nothing stay, before they are garbage.",
    )
    collect_interval_s: int = Field(
        86_400, ge=0, description="Seconds between two collections of garbage; 0: on demand alone."
    )
    operation_lease_s: float = Field(
        10.0, gt=0, description="Seconds of silence after which another replica takes a collection over."
    )
    price_per_gib_month: float | None = Field(
        None, ge=0, description="What keeping a GiB for a month costs; unset: usage tells no costs."
    )
    s3_metrics_pages: str = Field(
        "",
        description="URLs, space-separated, at which the object store shows metrics as Prometheus reads them "
        "(SeaweedFS, MinIO), from which egress is counted; empty: it is not.",
    )
    price_per_gib_egress: float | None = Field(
        None, ge=0, description="What a GiB costs that the object store sends; unset: no costs are told."
    )
    sweep_interval_s: float = Field(
        60.0, gt=0, description="Seconds between two rounds of expiring uploads and deleting garbage."
    )

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if bool(self.s3_access_key.get_secret_value()) != bool(self.s3_secret_key.get_secret_value()):
            raise ValueError("set both s3_access_key and s3_secret_key, or neither")
        if (self.s3_access_key_file is None) != (self.s3_secret_key_file is None):
            raise ValueError("set both s3_access_key_file and s3_secret_key_file, or neither")
        return self
