"""Where settings come from."""

from pathlib import Path

import pytest
from pydantic import Field
from visiontune_kit.settings import EXIT_CONFIGURATION, ServerSettings, describe, read


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


@pytest.mark.parametrize("variable", ["VISIONTUNE_STORAGE_PORT", "VISIONTUNE_PORT"])
def test_a_wrong_value_names_its_variable_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    monkeypatch.setenv(variable, "many")
    with pytest.raises(SystemExit) as ended:
        read(Settings)
    assert ended.value.code == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    assert said.startswith(f"{variable}: Input should be a valid integer")
    assert "many" not in said


def test_every_setting_has_a_variable_and_a_description() -> None:
    described = describe(Settings)
    assert ("VISIONTUNE_STORAGE_BUCKET", Settings.model_fields["bucket"]) in described
    assert all(field.description for _, field in described)
