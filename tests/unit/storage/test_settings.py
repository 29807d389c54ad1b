"""Settings of the storage program."""

import pytest
from pydantic import ValidationError
from visiontune_storage.app import bucket_of
from visiontune_storage.settings import Settings


def test_the_program_s_own_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONTUNE_PORT", "1")
    monkeypatch.setenv("VISIONTUNE_STORAGE_PORT", "2")
    monkeypatch.setenv("VISIONTUNE_STORAGE_S3_ENDPOINT", "s3.example:9000")
    settings = Settings()
    assert (settings.port, settings.s3_endpoint) == (2, "s3.example:9000")
    assert settings.bucket == "vision-training-datasets"


def test_secrets_are_printed_nowhere() -> None:
    settings = Settings(s3_access_key="AKIAEXAMPLE", s3_secret_key="topsecret")
    for text in (repr(settings), str(settings.model_dump()), repr(bucket_of(settings))):
        assert "topsecret" not in text
        assert "AKIAEXAMPLE" not in text


def test_half_a_credential_is_refused() -> None:
    with pytest.raises(ValidationError, match="both"):
        Settings(s3_access_key="a")
    with pytest.raises(ValidationError, match="both"):
        Settings(s3_access_key_file="a")


@pytest.mark.parametrize("endpoint", ["https://s3.example.org", "", "s3.example.org:x", "s3.example.org/a?b"])
def test_an_endpoint_that_is_no_host_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="s3_endpoint"):
        Settings(s3_endpoint=endpoint)


def test_urls_are_signed_for_the_public_endpoint() -> None:
    inner = Settings(s3_endpoint="s3:8333")
    assert (bucket_of(inner).public_endpoint, bucket_of(inner).public_secure) == ("s3:8333", False)
    outer = Settings(s3_endpoint="s3:8333", s3_public_endpoint="s3.example.com", s3_public_secure=True)
    assert (bucket_of(outer).endpoint, bucket_of(outer).secure) == ("s3:8333", False)
    assert (bucket_of(outer).public_endpoint, bucket_of(outer).public_secure) == ("s3.example.com", True)
