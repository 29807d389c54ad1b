"""What must not be left of work that was killed: objects, quota, files."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from minio import Minio
from visiontune import Client
from visiontune.storage.v1 import storage_pb2

from tests.support.stack import Stack


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Waits a minute for what sweeps are about to do."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def objects(client: Client) -> Iterator[storage_pb2.Object]:
    """All that storage keeps for the project."""
    method = storage_pb2.DESCRIPTOR.services_by_name["StorageService"].methods_by_name["ListObjects"]
    request = storage_pb2.ListObjectsRequest(parent=client.project, page_size=1000)
    yield from client.pages(method, request, storage_pb2.ListObjectsResponse(), "objects")


def scratch_files(stack: Stack) -> list[Path]:
    """Files that work in progress has on the disk of its server."""
    return [path for path in (stack.home / "scratch").rglob("*") if path.is_file()]


def bucket_keys(stack: Stack) -> list[str]:
    """What really lies in the bucket, but for the probe that tells whether it answers."""
    keys = json.loads((stack.home / "keys" / "s3.json").read_text())
    found = Minio(
        f"127.0.0.1:{stack.port + 20}",
        keys["access_key"],
        keys["secret_key"],
        secure=False,
        region="us-east-1",
    ).list_objects("vision-training-datasets", recursive=True)
    return [str(each.object_name) for each in found if not str(each.object_name).startswith(".")]
