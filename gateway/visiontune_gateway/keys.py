"""Signing keys of the services of one machine, and the list of issuers that believes them."""

import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from visiontune_kit.tokens import public_jwk

# Who signs tokens, and what its tokens make of their bearer.
KINDS = {"gateway": "user", "storage": "service", "dataset": "service", "trainer": "service"}


def make_all(folder: Path) -> None:
    """Writes `<service>.pem`, `<service>.jwks` and `issuers.json`; what exists stays. Safe to repeat."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    issuers = []
    for service, kind in KINDS.items():
        key = _key(folder / f"{service}.pem")
        write_private(folder / f"{service}.jwks", jwks(key))
        issuers.append({"issuer": f"visiontune-{service}", "kind": kind, "jwks_file": f"{service}.jwks"})
    # Last, since its presence means that the rest is there; an operator's own issuers stay.
    if not (folder / "issuers.json").exists():
        write_private(folder / "issuers.json", json.dumps(issuers, indent=2))


def jwks(key: Ed25519PrivateKey) -> str:
    """Returns the public half as a JSON Web Key Set (RFC 7517)."""
    return json.dumps({"keys": [public_jwk(key)]}, indent=2)


def jwks_of(path: Path | None) -> str:
    """Returns the key set of a private key's file; an empty one without a file."""
    return jwks(read(path)) if path else json.dumps({"keys": []})


def read(path: Path) -> Ed25519PrivateKey:
    """Reads a private key. ValueError when it is of another kind."""
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")
    return key


def _key(path: Path) -> Ed25519PrivateKey:
    if path.exists():
        return read(path)
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    return key


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads, whole or not at all."""
    new = path.with_suffix(".tmp")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
