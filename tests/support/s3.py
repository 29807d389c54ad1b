"""Real S3 servers for tests, each from its wheel, on loopback, with ports of its own.

SeaweedFS is what every test runs on; rclone's server, which differs in all that S3 leaves open, shows what
our code must not rely on.

Tests take the fixture `s3` (one server a session, a fresh bucket each test asks for with `s3.make_bucket()`).
Those that kill or stop the server make their own with `SeaweedFS(directory)`.
"""

import io
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import MinioException

START_TIMEOUT_S = 40.0
REGION = "us-east-1"
DEFAULT_BUCKET = "vision-training-datasets"


class S3Server(ABC):
    """What tests use of a server, whichever it is."""

    endpoint: str  # host:port, as the minio client wants it
    access_key: str
    secret_key: str
    region = REGION

    def client(self) -> Minio:
        """A client with full rights that fails fast."""
        return Minio(
            self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region=self.region,
            http_client=urllib3.PoolManager(timeout=10.0, retries=False),
        )

    def make_bucket(self) -> str:
        """Makes an empty bucket and returns its name."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().make_bucket(name)
        return name

    @abstractmethod
    def drop_bucket(self, name: str) -> None:
        """Deletes a bucket with all that it holds."""

    def keys(self, bucket: str = DEFAULT_BUCKET) -> list[str]:
        """Keys of all objects in the bucket, sorted; not the probe of a storage service that starts."""
        found = self.client().list_objects(bucket, recursive=True)
        return sorted(str(entry.object_name) for entry in found if entry.object_name != ".probe")


class Rclone(S3Server):
    """One `rclone serve s3` process; a bucket is a folder in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.access_key, self.secret_key = "test" + secrets.token_hex(8), secrets.token_hex(20)
        self.endpoint = f"127.0.0.1:{_free_ports(1)[0]}"
        self._process: subprocess.Popen[bytes] | None = None

    def drop_bucket(self, name: str) -> None:
        shutil.rmtree(self.directory / name)

    def start(self) -> None:
        """Returns when it answers."""
        rclone = str(Path(sys.executable).with_name("rclone"))
        self.directory.mkdir(parents=True, exist_ok=True)
        command = _dying_with_the_tests([rclone, "serve", "s3", "--addr", self.endpoint, str(self.directory)])
        keys = f'"{self.access_key},{self.secret_key}"'
        own = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "RCLONE_AUTH_KEY": keys}
        self._process = subprocess.Popen(
            command, env=own, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.client().list_buckets()
            except (MinioException, urllib3.exceptions.HTTPError):
                if time.monotonic() > deadline:
                    self.kill()
                    raise
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class SeaweedFS(S3Server):
    """One `weed mini` process over `directory`; it keeps its ports and its data when started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.access_key = "test" + secrets.token_hex(8)
        self.secret_key = secrets.token_hex(20)
        self.bucket = DEFAULT_BUCKET
        names = ["s3", "master", "volume", "filer", "admin"]
        ports = _free_ports(2 * len(names) + 1)
        self._metrics_port = ports.pop()
        self._ports = {name: (ports[2 * i], ports[2 * i + 1]) for i, name in enumerate(names)}
        self.endpoint = f"127.0.0.1:{self._ports['s3'][0]}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.endpoint}"

    @property
    def metrics_page(self) -> str:
        """What it says of itself, as Prometheus reads it."""
        return f"http://127.0.0.1:{self._metrics_port}/metrics"

    def environment(self, bucket: str | None = None) -> dict[str, str]:
        """What the storage program needs to find this server."""
        return {
            "VISIONTUNE_STORAGE_S3_ENDPOINT": self.endpoint,
            "VISIONTUNE_STORAGE_S3_REGION": self.region,
            "VISIONTUNE_STORAGE_S3_ACCESS_KEY": self.access_key,
            "VISIONTUNE_STORAGE_S3_SECRET_KEY": self.secret_key,
            "VISIONTUNE_STORAGE_S3_SECURE": "false",
            "VISIONTUNE_STORAGE_BUCKET": bucket or self.bucket,
        }

    def drop_bucket(self, name: str) -> None:
        """Deletes a bucket with all that it holds; SeaweedFS then frees its volumes."""
        self.client().remove_bucket(name)

    def start(self) -> None:
        """Returns when a probe object was put and read back."""
        weed = Path(sys.executable).with_name("weed")
        command = _dying_with_the_tests([str(weed), "-v=0", "mini", *self._flags()])
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.directory),
                    "AWS_ACCESS_KEY_ID": self.access_key,
                    "AWS_SECRET_ACCESS_KEY": self.secret_key,
                    "GOMEMLIMIT": "400MiB",
                    "GOMAXPROCS": "2",
                },
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in an orderly way."""
        self._end(signal.SIGTERM)

    def _flags(self) -> list[str]:
        ports = [
            flag
            for name, (http, grpc) in self._ports.items()
            for flag in (f"-{name}.port={http}", f"-{name}.port.grpc={grpc}")
        ]
        return [
            *ports,
            f"-dir={self.directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={self.directory}/s3.sock",
            f"-filer.localSocket={self.directory}/filer.sock",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            "-metricsIp=127.0.0.1",
            f"-metricsPort={self._metrics_port}",
            "-master.volumeSizeLimitMB=64",  # each bucket has volumes of its own, and tests make many
            "-volume.max=2000",
            f"-bucket={self.bucket}",
        ]

    def _wait_until_ready(self) -> None:
        client, deadline = self.client(), time.monotonic() + START_TIMEOUT_S
        key = f"probe/{secrets.token_hex(4)}"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                with ExitStack() as undo:
                    client.put_object(self.bucket, key, io.BytesIO(b"ready"), 5)
                    undo.callback(client.remove_object, self.bucket, key)
                    answer = client.get_object(self.bucket, key)
                    undo.callback(answer.close)
                    if answer.read() == b"ready":
                        return
            except (MinioException, urllib3.exceptions.HTTPError):
                time.sleep(0.1)
        log = (self.directory / "weed.log").read_text(errors="replace")[-2000:]
        self.kill()
        raise RuntimeError(f"SeaweedFS did not get ready in {START_TIMEOUT_S:.0f} s:\n{log}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The session's S3 server, ready. Take a bucket of your own with `s3.make_bucket()`."""
    server = SeaweedFS(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """The session's other S3 server, ready."""
    server = Rclone(tmp_path_factory.mktemp("rclone"))
    server.start()
    yield server
    server.kill()


def _dying_with_the_tests(command: list[str]) -> list[str]:
    """The command, ended by the system even when the tests are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
