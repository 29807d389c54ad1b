"""Credentials of the object store, from files that may change while the program runs."""

from pathlib import Path

from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from visiontune_kit import logs

from visiontune_storage.domain.failures import ObjectStoreUnavailable

log = logs.get(__name__)


class FileCredentials(Provider):
    """Asked before each call and each signature; reads the files again when one of them has changed.

    Between the writing of one file and of the other the pair does not fit: calls are then UNAVAILABLE, as
    while the store is away, and the next one after it works. A mounted secret changes both at once.
    """

    def __init__(self, access_key_file: Path, secret_key_file: Path) -> None:
        self._files = (access_key_file, secret_key_file)
        self._stamps: tuple[tuple[int, int], ...] = ()
        self._credentials: Credentials | None = None

    def retrieve(self) -> Credentials:
        """Raises ObjectStoreUnavailable when a file cannot be read or is empty."""
        try:
            stamps = tuple((stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in self._files))
            if self._credentials is None or stamps != self._stamps:
                access_key, secret_key = (file.read_text("utf-8").strip() for file in self._files)
                rotated = self._credentials is not None
                self._credentials, self._stamps = Credentials(access_key, secret_key), stamps
                if rotated:
                    log.info("object_store_keys_read_again")
        except (OSError, ValueError) as error:
            raise ObjectStoreUnavailable(f"its key files cannot be used: {error}") from error
        return self._credentials
