"""Settings that every server has, and where each value comes from."""

import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from visiontune_kit.tls import ClientTls

COMMON_PREFIX = "VISIONTUNE_"
# EX_CONFIG of sysexits.h: starting again does not help.
EXIT_CONFIGURATION = 78

S = TypeVar("S", bound=BaseSettings)


class ServerSettings(BaseSettings):
    """Read once in `__main__`, from `VISIONTUNE_<SERVICE>_X`, then `VISIONTUNE_X`, then `.env`.

    A subclass names its service: `class Settings(ServerSettings, env_prefix="VISIONTUNE_STORAGE_")`.
    """

    model_config = SettingsConfigDict(env_prefix=COMMON_PREFIX, env_file=".env", extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    database_url: str = Field(
        "sqlite+aiosqlite://",
        description="SQLAlchemy URL: sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME.",
    )
    database_connections: int = Field(
        10, ge=1, description="Most connections to PostgreSQL that this replica holds at once."
    )
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of /metrics; 0 switches it off.")
    signing_key_file: Path | None = Field(
        None, description="Ed25519 key (PEM) with which this service signs calls to others."
    )
    issuers_file: Path | None = Field(None, description="JSON list of the issuers whose tokens are believed.")
    otlp_endpoint: str = Field(
        "", description="OTLP gRPC collector for traces, for example http://127.0.0.1:4317; empty: none."
    )
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field("json", pattern="^(json|console)$", description="json or console.")
    tls_certificate_file: Path | None = Field(
        None, description="Certificate chain (PEM) that this program shows to clients, and to other services."
    )
    tls_key_file: Path | None = Field(None, description="Private key of the certificate (PEM).")
    tls_ca_file: Path | None = Field(
        None, description="CA of clients (server side: demands mTLS) and of other services (client side)."
    )
    health_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of grpc.health.v1 alone, in plain text, for probes that speak no TLS; 0: none.",
    )
    stop_grace_s: float = Field(25.0, gt=0, description="Seconds that running calls get at shutdown.")
    drain_s: float = Field(
        0.0, ge=0, description="Seconds between NOT_SERVING and the end of accepting calls (3 in a cluster)."
    )

    @property
    def client_tls(self) -> ClientTls | None:
        """How this program calls others; None means plain text."""
        return ClientTls.of(self.tls_ca_file, self.tls_certificate_file, self.tls_key_file)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The service's own variable wins over the common one, the environment over `.env`."""
        common_env = EnvSettingsSource(settings_cls, env_prefix=COMMON_PREFIX)
        common_dotenv = DotEnvSettingsSource(settings_cls, env_prefix=COMMON_PREFIX)
        return init_settings, env_settings, common_env, dotenv_settings, common_dotenv


def read(settings_class: type[S]) -> S:
    """Reads the settings. Where they do not fit, names each variable on stderr and exits with 78.

    Values are not repeated: some are secret.
    """
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            sys.stderr.write(f"{_place(settings_class, problem['loc'])}{problem['msg']}.\n")
        sys.exit(EXIT_CONFIGURATION)


def _place(settings_class: type[BaseSettings], loc: tuple[int | str, ...]) -> str:
    if not loc:
        return ""
    name = str(loc[0])
    field = settings_class.model_fields.get(name)
    if field is None:
        return f"{name}: "
    variable = _variable(settings_class.model_config.get("env_prefix", ""), name, field)
    common = _variable(COMMON_PREFIX, name, field)
    return f"{common if common in os.environ and variable not in os.environ else variable}: "


def describe(settings_class: type[ServerSettings]) -> list[tuple[str, FieldInfo]]:
    """Returns (environment variable, field) for each setting, for `visiontune config` and the docs."""
    prefix = settings_class.model_config.get("env_prefix", "")
    return [(_variable(prefix, name, field), field) for name, field in settings_class.model_fields.items()]


def _variable(prefix: str, name: str, field: FieldInfo) -> str:
    alias: Any = field.validation_alias
    return alias if isinstance(alias, str) else f"{prefix}{name}".upper()
