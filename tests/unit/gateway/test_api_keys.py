"""What an API key is."""

from datetime import UTC, datetime

import pytest
from visiontune_gateway.domain import api_keys
from visiontune_gateway.domain.api_keys import ApiKey, InvalidApiKey, RoleAboveOwn


def test_a_key_is_its_id_and_its_secret() -> None:
    text = api_keys.join("k-7f3a", "se_cret-_x")
    assert text == "vt_k-7f3a_se_cret-_x"
    assert api_keys.split(text) == ("k-7f3a", "se_cret-_x")


@pytest.mark.parametrize("text", ["", "vt_", "vt_k-7f3a", "vt_k-7f3a_", "vt__secret", "xx_k_s", "k_s"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidApiKey):
        api_keys.split(text)


def test_only_a_digest_of_the_secret_is_kept() -> None:
    key = ApiKey("k-1", "p", "", 1, api_keys.digest("right"), datetime(2026, 1, 1, tzinfo=UTC))
    assert key.has_secret("right")
    assert not key.has_secret("wrong")
    assert "right" not in repr(key)


@pytest.mark.parametrize(
    ("own", "granted", "allowed"), [(3, 3, True), (3, 1, True), (3, 4, False), (4, 4, True)]
)
def test_nobody_grants_more_than_they_have(own: int, granted: int, allowed: bool) -> None:
    if allowed:
        api_keys.require_role(own, granted)
    else:
        with pytest.raises(RoleAboveOwn):
            api_keys.require_role(own, granted)
