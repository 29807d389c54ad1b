"""Keys and issuers for tests: tokens of a user and of services, believed by real servers."""

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.tokens import ServiceTokens, TokenMinter, public_jwk

SERVICES = ("storage", "dataset", "trainer", "gateway")


@dataclass(frozen=True)
class Trust:
    """A folder with `<service>.pem` for each service and `issuers.json`."""

    folder: Path

    @property
    def issuers_file(self) -> Path:
        return self.folder / "issuers.json"

    def key_file(self, service: str) -> Path:
        return self.folder / f"{service}.pem"

    def user_token(self, project: str = "default", role: Role = Role.EDITOR, ttl_s: float = 3600) -> str:
        minter = TokenMinter.from_file(self.key_file("gateway"), "visiontune-gateway")
        return minter.mint(Principal(f"key:{project}-{role.name.lower()}", project, role, Kind.USER), ttl_s)

    def metadata(self, project: str = "default", role: Role = Role.EDITOR) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.user_token(project, role)}")]

    def service_tokens(self, service: str) -> ServiceTokens:
        return ServiceTokens(TokenMinter.from_file(self.key_file(service), f"visiontune-{service}"), service)


def make(folder: Path) -> Trust:
    """Writes keys and issuers below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    issuers = []
    for service in SERVICES:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{service}.pem").write_bytes(pem)
        (folder / f"{service}.jwks").write_text(json.dumps({"keys": [public_jwk(key)]}))
        issuers.append(
            {
                "issuer": f"visiontune-{service}",
                "kind": "user" if service == "gateway" else "service",
                "jwks_file": f"{service}.jwks",
            }
        )
    (folder / "issuers.json").write_text(json.dumps(issuers))
    return Trust(folder)
