"""Page sizes and page tokens by AIP-158: sizes are coerced, tokens are opaque and bound to their request."""

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime

from google.protobuf.message import Message

from visiontune_kit.errors import InvalidArgument

_MOST_NUMBER = 2**63 - 1  # of a database


class InvalidPageToken(InvalidArgument):
    """The token belongs to another request, or to none."""

    def __init__(self) -> None:
        super().__init__(
            "page_token does not belong to this request. Pass next_page_token of an answer to the same "
            "request, or start again without one."
        )


def clamp(page_size: int, *, default: int, most: int) -> int:
    """Returns the size to use: `default` for 0, never more than `most`."""
    return min(page_size or default, most)


def encode(request: Message, position: list[str | int]) -> str:
    """Returns the token that continues `request` after `position`."""
    body = json.dumps([_fingerprint(request), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def decode(request: Message, token: str) -> list[str | int] | None:
    """Returns the position in `token`, or None for the first page.

    Raises InvalidPageToken for a token of another request.
    """
    if not token:
        return None
    try:
        body = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidPageToken from error
    if not isinstance(body, list) or len(body) < 2 or body[0] != _fingerprint(request):
        raise InvalidPageToken
    return body[1:]


# A position is read with suspicion: a token is opaque, but anyone can make one up.


def time_and_name(position: list[str | int] | None) -> tuple[datetime, str] | None:
    """Returns the time, in UTC, and the name or id after which a page begins; None for the first.

    Raises InvalidPageToken.
    """
    match position:
        case None:
            return None
        case [str(text), str(name)] if name.isprintable():
            try:
                at = datetime.fromisoformat(text)
                if at.tzinfo is not None:
                    return at.astimezone(UTC), name
            except (ValueError, OverflowError) as error:
                raise InvalidPageToken from error
    raise InvalidPageToken


def number(position: list[str | int] | None) -> int | None:
    """Returns the number at which a page begins; None for the first. Raises InvalidPageToken."""
    match position:
        case None:
            return None
        case [int(found)] if 0 <= found <= _MOST_NUMBER:
            return found
    raise InvalidPageToken


def _fingerprint(request: Message) -> str:
    """Digest of the request without its paging fields, which may change from page to page."""
    plain = type(request)()
    plain.CopyFrom(request)
    plain.ClearField("page_token")
    plain.ClearField("page_size")
    content = plain.DESCRIPTOR.full_name.encode() + plain.SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()[:16]
