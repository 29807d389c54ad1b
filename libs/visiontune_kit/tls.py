"""Where a client finds what it needs to speak TLS."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files (PEM) of one client; the pair of certificate and key is shown to servers that demand mTLS."""

    ca_file: Path
    certificate_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def of(
        cls, ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
    ) -> "ClientTls | None":
        """Returns None, which means plain text, without a CA."""
        return cls(ca_file, certificate_file, key_file) if ca_file else None
