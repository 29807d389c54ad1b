"""Signing keys of one machine."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from visiontune_gateway import keys
from visiontune_kit.errors import Unauthenticated
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.tokens import TokenMinter, TokenVerifier


def test_each_service_is_believed_as_what_it_is(tmp_path: Path) -> None:
    keys.make_all(tmp_path)
    verifier = TokenVerifier.from_file(tmp_path / "issuers.json")
    for service, kind in keys.KINDS.items():
        minter = TokenMinter.from_file(tmp_path / f"{service}.pem", f"visiontune-{service}")
        caller = Principal("someone", "p", Role.EDITOR, Kind(kind))
        assert verifier.verify(minter.mint(caller)) == caller


def test_one_service_cannot_speak_for_another(tmp_path: Path) -> None:
    keys.make_all(tmp_path)
    forged = TokenMinter.from_file(tmp_path / "dataset.pem", "visiontune-gateway")
    with pytest.raises(Unauthenticated):
        TokenVerifier.from_file(tmp_path / "issuers.json").verify(
            forged.mint(Principal("key:x", "p", Role.OPERATOR, Kind.USER))
        )


def test_repeating_it_changes_nothing(tmp_path: Path) -> None:
    keys.make_all(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    keys.make_all(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_it_completes_what_was_begun(tmp_path: Path) -> None:
    keys.make_all(tmp_path)
    gateway = (tmp_path / "gateway.pem").read_bytes()
    for name in ("issuers.json", "trainer.pem", "trainer.jwks", "gateway.jwks"):
        (tmp_path / name).unlink()
    keys.make_all(tmp_path)
    assert (tmp_path / "gateway.pem").read_bytes() == gateway
    assert len(json.loads((tmp_path / "issuers.json").read_text())) == len(keys.KINDS)


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    keys.make_all(tmp_path / "keys")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()} == {0o600}


def test_the_key_set_has_no_private_half(tmp_path: Path) -> None:
    keys.make_all(tmp_path)
    (key,) = json.loads(keys.jwks_of(tmp_path / "gateway.pem"))["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert keys.jwks_of(None) == '{"keys": []}'


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rsa.pem"
    rsa = generate_private_key(65537, 2048)
    file.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="holds no Ed25519 key"):
        keys.read(file)
