"""API keys: `vt_<id>_<secret>`, of which only a hash of the secret is kept."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from visiontune_kit.errors import AlreadyExists, NotFound, PermissionDenied, Unauthenticated

PREFIX = "vt_"


class InvalidApiKey(Unauthenticated):
    """The key is malformed, revoked, or was never ours; which of them is not told."""

    def __init__(self) -> None:
        super().__init__(
            "The API key is not valid. Check that it is complete (it begins with vt_), or ask an admin of "
            "the project for a new one."
        )


class ApiKeyNotFound(NotFound):
    """No such key in this project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was not found, or this identity may not see it.", resource=name)


class RoleAboveOwn(PermissionDenied):
    """Nobody hands out, or takes away, more than they have."""

    def __init__(self) -> None:
        super().__init__("The key's role is above yours. Ask somebody who has that role.")


class RequestIdTaken(AlreadyExists):
    """The request_id made another key before."""

    def __init__(self) -> None:
        super().__init__(
            "request_id was used for a key with another name or role. Take a new UUID4 for each new key."
        )


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A secret that stands for a project and a role."""

    id: str
    project: str
    display_name: str
    role: int  # as in identity.proto: 1 viewer, 2 editor, 3 admin, 4 operator
    secret_sha256: str  # hex
    created_at: datetime

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"projects/{self.project}/apiKeys/{self.id}"

    def has_secret(self, secret: str) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(self.secret_sha256, digest(secret))


def digest(secret: str) -> str:
    """Returns what is kept of a secret: one SHA-256, since 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def join(key_id: str, secret: str) -> str:
    """Returns the text that users hold."""
    return f"{PREFIX}{key_id}_{secret}"


def split(text: str) -> tuple[str, str]:
    """Returns id and secret. Raises InvalidApiKey."""
    key_id, separator, secret = text.removeprefix(PREFIX).partition("_")
    if not (text.startswith(PREFIX) and key_id and separator and secret):
        raise InvalidApiKey
    return key_id, secret


def require_role(own: int, granted: int) -> None:
    """Raises RoleAboveOwn when `granted` is more than `own`."""
    if granted > own:
        raise RoleAboveOwn
