"""The object store's keys are replaced while the program runs, against a real server."""

import secrets
from pathlib import Path

import pytest
from visiontune_kit import errors

from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage


def write_keys(folder: Path, s3: SeaweedFS) -> None:
    (folder / "access_key").write_text(f"{s3.access_key}\n")
    (folder / "secret_key").write_text(f"{s3.secret_key}\n")


async def test_new_keys_in_the_files_are_used_without_a_restart(tmp_path: Path) -> None:
    s3 = SeaweedFS(tmp_path / "s3")
    s3.start()
    try:
        write_keys(tmp_path, s3)
        async with running_storage(
            s3,
            tmp_path,
            bucket=s3.make_bucket(),
            s3_access_key="",
            s3_secret_key="",
            s3_access_key_file=tmp_path / "access_key",
            s3_secret_key_file=tmp_path / "secret_key",
        ) as storage:
            kept = await storage.upload(b"by the first pair")
            s3.stop()
            s3.access_key, s3.secret_key = f"new{secrets.token_hex(8)}", secrets.token_hex(20)
            s3.start()
            with pytest.raises(errors.Unavailable) as refused:
                await storage.upload(b"refused")
            assert refused.value.reason == "ObjectStoreUnavailable"
            write_keys(tmp_path, s3)
            done = await storage.upload(b"by the second pair")
            assert await storage.read(done.object) == b"by the second pair"
            assert await storage.read(kept.object) == b"by the first pair"
            (tmp_path / "secret_key").unlink()
            with pytest.raises(errors.Unavailable, match="key files"):
                await storage.upload(b"no key")
    finally:
        s3.kill()
