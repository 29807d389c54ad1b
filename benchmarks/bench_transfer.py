"""Upload and download MB/s: the SDK over signed URLs, every byte verified, against the bare minio client.

Both move the same file to and from the same SeaweedFS, in turn. Ours is all that a user waits for: hashing,
create, PUT, complete (at which storage compares size and digest), and on the way back signing, GET and
comparing the digest. The peer verifies nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minio import Minio
from visiontune import Client, uploads
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2

from benchmarks.result import Result, interleaved

MB = 1_000_000
MIB = 1024 * 1024
SIZES_MIB = (48, 160)  # one part; several
AIM = 0.95
ROUNDS = 3
_STORAGE = storage_pb2.DESCRIPTOR.services_by_name["StorageService"]


@dataclass(frozen=True)
class Setting:
    """One file, the two clients, and where to put what comes back."""

    client: Client
    peer: Minio
    bucket: str
    file: Path

    @property
    def size_bytes(self) -> int:
        """Bytes that each run moves."""
        return self.file.stat().st_size

    def upload(self) -> float:
        """MB/s of the SDK. The object is deleted when the clock has stopped."""
        started = time.perf_counter()
        done = self.client.upload(self.file)
        speed = self._speed(started)
        self._delete(done.object)
        return speed

    def peer_upload(self) -> float:
        """MB/s of `fput_object` with its defaults."""
        started = time.perf_counter()
        self.peer.fput_object(self.bucket, "bench", str(self.file))
        speed = self._speed(started)
        self.peer.remove_object(self.bucket, "bench")
        return speed

    def download_of(self, upload: storage_pb2.Upload) -> Callable[[], float]:
        """MB/s of signing and downloading an object with the SDK."""

        def run() -> float:
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                uploads.download([self._signed(upload)], Path(folder))
                return self._speed(started)

        return run

    def peer_download(self) -> float:
        """MB/s of `fget_object`."""
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            self.peer.fget_object(self.bucket, "kept", f"{folder}/file")
            return self._speed(started)

    def _speed(self, started: float) -> float:
        return self.size_bytes / MB / (time.perf_counter() - started)

    def _signed(self, upload: storage_pb2.Upload) -> trainer_pb2.ArtifactFile:
        request = storage_pb2.SignUrlsRequest(parent=self.client.project, objects=[upload.object])
        method = _STORAGE.methods_by_name["SignUrls"]
        answer = self.client.call(method, request, storage_pb2.SignUrlsResponse())
        return trainer_pb2.ArtifactFile(
            path="file", url=answer.urls[0].url, size_bytes=upload.size_bytes, sha256=upload.sha256
        )

    def _delete(self, name: str) -> None:
        request = storage_pb2.DeleteObjectsRequest(parent=self.client.project, objects=[name])
        method = _STORAGE.methods_by_name["DeleteObjects"]
        self.client.call(method, request, storage_pb2.DeleteObjectsResponse())


def measure() -> list[Result]:
    """Upload and download of a small and a large file."""
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as folder:
        home = Path(folder) / "home"
        with _stack(home) as port:
            return [result for size in SIZES_MIB for result in _measure(home, port, size)]


def _measure(home: Path, port: int, size_mib: int) -> list[Result]:
    file = home.with_name(f"{size_mib}-mib")
    file.write_bytes(os.urandom(size_mib * MIB))
    with Client(f"http://127.0.0.1:{port}", (home / "api-key").read_text().strip()) as client:
        setting = Setting(client, _peer(home, port), "bench-peer", file)
        # Volumes and connections are there before the clock runs.
        setting.upload()
        setting.peer_upload()
        up = interleaved(setting.upload, setting.peer_upload, rounds=ROUNDS)
        kept = client.upload(file)
        setting.peer.fput_object(setting.bucket, "kept", str(file))
        down = interleaved(setting.download_of(kept), setting.peer_download, rounds=ROUNDS)
    file.unlink()
    return [
        Result(f"upload {size_mib} MiB, verified, against minio", "MB/s", *up, AIM),
        Result(f"download {size_mib} MiB, verified, against minio", "MB/s", *down, AIM),
    ]


@contextmanager
def _stack(home: Path) -> Iterator[int]:
    """The embedded stack in a home of its own; yields its first port."""
    # Two benches may run at once; `up` refuses a port that is taken.
    port = 12_000 + os.getpid() % 90 * 100
    try:
        _visiontune(home, "up", "--detach", "--port", str(port))
        yield port
    finally:
        _visiontune(home, "down")


def _visiontune(home: Path, *arguments: str) -> None:
    """Runs one command. Raises CalledProcessError; what it printed is shown."""
    given = {key: value for key, value in os.environ.items() if not key.startswith("VISIONTUNE_")}
    subprocess.run(
        [sys.executable, "-m", "visiontune.cli", *arguments],
        env={**given, "VISIONTUNE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _peer(home: Path, port: int) -> Minio:
    """The bare client, with the credentials that only storage has otherwise, and a bucket of its own."""
    keys = json.loads((home / "keys" / "s3.json").read_text(encoding="utf-8"))
    peer = Minio(f"127.0.0.1:{port + 20}", keys["access_key"], keys["secret_key"], secure=False)
    if not peer.bucket_exists("bench-peer"):
        peer.make_bucket("bench-peer")
    return peer
