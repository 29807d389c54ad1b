"""Links to pictures as JWTs: signed with this service's key, believed as the list of issuers says."""

from datetime import UTC, datetime, timedelta

import jwt
from visiontune_kit.tokens import TokenMinter, TokenVerifier

from visiontune_dataset.domain.failures import ImageLinkInvalid
from visiontune_dataset.domain.links import ImageLink

# Another one than that of tokens which say who calls: neither passes for the other.
_AUDIENCE = "visiontune-images"
_PATH = "/v1/images/"  # as the contract's rule for GetLinkedImage says


class JwtLinks:
    """Another replica's links are good as well, and those of a key that the list still has."""

    def __init__(self, base_url: str, minter: TokenMinter, verifier: TokenVerifier) -> None:
        self._start = base_url.rstrip("/") + _PATH
        self._minter = minter
        self._verifier = verifier

    def url(self, link: ImageLink, ends_at: datetime) -> str:
        """See SignsLinks."""
        claims = {"sub": link.version, "digest": link.digest, "row": link.row}
        if link.image is not None:
            claims["image"] = link.image
        return self._start + self._minter.sign(claims, _AUDIENCE, ends_at)

    def read(self, token: str) -> tuple[ImageLink, datetime]:
        """See SignsLinks."""
        try:
            claims = self._verifier.claims(token, _AUDIENCE, leeway=timedelta())
            if claims["iss"] != self._minter.issuer:
                raise jwt.InvalidIssuerError(f"{claims['iss']} signs no links")
            link = ImageLink(claims["sub"], claims["digest"], claims["row"], claims.get("image"))
            return link, datetime.fromtimestamp(claims["exp"], UTC)
        except jwt.ExpiredSignatureError as error:
            raise ImageLinkInvalid("it has ended") from error
        except (jwt.PyJWTError, KeyError) as error:
            raise ImageLinkInvalid("it was not signed here, or was changed") from error
