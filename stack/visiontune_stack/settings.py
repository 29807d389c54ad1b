"""Settings of the stack itself. The programs have their own, which `environment` can set."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from visiontune_stack import state
from visiontune_stack.home import Home


class StackSettings(BaseSettings):
    """Read from VISIONTUNE_… variables, then `config.toml` in the home, then the last use, then defaults."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path.home() / ".visiontune", description="Folder of all state."
    )
    port: int = Field(
        default=8700,
        ge=1024,
        le=55_000,
        description="First port: the gateway's. The stack uses this and up to 39 after it, "
        "and the object store six more that lie 10,000 higher.",
    )
    object_store_memory_mib: int = Field(
        default=384, ge=64, description="Soft memory limit of the embedded object store, in MiB."
    )
    stop_grace_s: float = Field(
        default=20.0, gt=0, description="Seconds that a program gets to end by itself before it is killed."
    )
    log_file_mib: int = Field(
        default=16,
        ge=1,
        description="Size in MiB at which a program's log is rotated; three old ones are kept.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables for all programs, for example "
        '{VISIONTUNE_LOG_LEVEL = "debug"}. The shell\'s own variables win.',
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file lies in the home, so the home itself comes from arguments or the environment."""
        given = {**env_settings(), **init_settings()}
        home = Path(given["home"]) if "home" in given else Path.home() / ".visiontune"
        layout = Home(home.expanduser())
        toml = TomlConfigSettingsSource(settings_cls, layout.config)
        # A home keeps its ports, so that what runs is found and not replaced.
        before = state.read(layout.state)
        last = InitSettingsSource(settings_cls, {"port": before.port} if before else {})
        return init_settings, env_settings, toml, last

    @property
    def layout(self) -> Home:
        """The home's files."""
        return Home(self.home.expanduser().resolve())
