"""Where settings come from."""

from pathlib import Path

import pytest
from pydantic import Field, ValidationError
from visiontune_kit.settings import ServerSettings, describe


class Settings(ServerSettings, env_prefix="VISIONTUNE_STORAGE_"):
    bucket: str = Field("vision-training-datasets", description="Bucket.")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_services_own_variable_wins_over_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONTUNE_LOG_LEVEL", "warning")
    monkeypatch.setenv("VISIONTUNE_STORAGE_PORT", "7")
    monkeypatch.setenv("VISIONTUNE_PORT", "8")
    settings = Settings()
    assert (settings.log_level, settings.port) == ("warning", 7)


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VISIONTUNE_STORAGE_BUCKET=from-file\nVISIONTUNE_LOG_LEVEL=error\n")
    monkeypatch.setenv("VISIONTUNE_LOG_LEVEL", "debug")
    settings = Settings()
    assert (settings.bucket, settings.log_level) == ("from-file", "debug")


def test_a_wrong_value_names_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONTUNE_STORAGE_PORT", "many")
    with pytest.raises(ValidationError, match="port"):
        Settings()


def test_every_setting_has_a_variable_and_a_description() -> None:
    described = describe(Settings)
    assert ("VISIONTUNE_STORAGE_BUCKET", Settings.model_fields["bucket"]) in described
    assert all(field.description for _, field in described)
