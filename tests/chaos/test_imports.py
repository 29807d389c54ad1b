"""`kill -9` of any one process, at any moment of an import: the version is whole, or nothing is left."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from visiontune import Client, errors
from visiontune.dataset.v1 import dataset_pb2

from tests.support import archives, leftovers
from tests.support import stack as stacks
from tests.support.stack import Stack

CHILD = "child"  # any process that the dataset service started: of the import, of its decoding
VICTIMS = ("dataset", "storage", "gateway", "seaweedfs", CHILD)
FILES = archives.numbered(60, (640, 480))
# What tells of the past, or of the service itself; the rest goes with the dataset.
KEPT = {"alembic_version", "operations", "requests"}
COUNT = "SELECT count(*) FROM {}"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """One that sweeps soon, and makes several shards of an import."""
    made = stacks.make(
        tmp_path / "home",
        VISIONTUNE_STORAGE_SWEEP_INTERVAL_S="0.5",
        VISIONTUNE_DATASET_SHARD_BYTES=str(1024 * 1024),
    )
    made.up()
    yield made
    made.down()


class Killer(threading.Thread):
    """Kills one victim at one moment, or later, once there is one; gives up when it is told to."""

    def __init__(self, stack: Stack, victim: str, after_s: float) -> None:
        super().__init__(daemon=True)
        self._stack, self._victim, self._after_s = stack, victim, after_s
        self._over = threading.Event()
        self.has_killed = False

    def run(self) -> None:
        pid = self._stack.pids()["dataset" if self._victim == CHILD else self._victim]
        before = _children(pid)
        self._over.wait(self._after_s)
        while not self.has_killed and not self._over.wait(0.005):
            if self._victim != CHILD:
                self.has_killed = _kill(pid)
            elif new := _children(pid) - before:
                self.has_killed = _kill(max(new))

    def stop(self) -> None:
        self._over.set()
        self.join()


def _children(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def imported(client: Client, archive: Path, dataset: str) -> dataset_pb2.DatasetVersion | None:
    """The version that an import makes; None when it failed, as its user is told."""
    try:
        made = client.create_dataset(dataset)
        upload = client.upload(archive)
        request = dataset_pb2.ImportVersionRequest(parent=made.name, upload=upload.name, format="llava")
        client.wait(client.import_version(request), timeout_s=120)
    except errors.UploadFailed as failure:
        client.abort_upload(failure.upload)  # or it would be kept a day, to be resumed
        return None
    except errors.ApiFailure:
        return None
    return client.get_version(dataset)


def rows(stack: Stack) -> dict[str, int]:
    """How many rows the dataset service keeps, by table, where there are any."""
    with closing(sqlite3.connect(stack.home / "data" / "dataset.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        counts = {name: database.execute(COUNT.format(name)).fetchone()[0] for name in tables - KEPT}
    return {name: count for name, count in counts.items() if count}


def assert_nothing_is_left(stack: Stack, client: Client) -> None:
    """No object, byte, file or row; what ended has ended."""

    def is_free() -> bool:
        quota = client.get_quota()
        return not (quota.used_bytes or quota.reserved_bytes or quota.object_count)

    leftovers.until(is_free, "bytes are used or reserved")
    leftovers.until(lambda: not leftovers.bucket_keys(stack), "objects lie in the bucket")
    leftovers.until(lambda: not leftovers.scratch_files(stack), "files of imports")
    leftovers.until(lambda: not rows(stack), "rows of imports")
    with closing(sqlite3.connect(stack.home / "data" / "dataset.db")) as database:
        [(running,)] = database.execute("SELECT count(*) FROM operations WHERE NOT done")
    assert running == 0


def forget(client: Client, dataset: str) -> None:
    """Deletes the dataset, once its import has cleaned up."""

    def is_deleted() -> bool:
        try:
            client.delete_dataset(dataset, force=True, purge=True)
        except errors.NotFound:
            return True
        except errors.FailedPrecondition:
            return False
        return True

    leftovers.until(is_deleted, "the dataset cannot be deleted")


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_an_import_killed_at_any_moment_is_whole_or_leaves_nothing(
    stack: Stack, tmp_path: Path, kills: int
) -> None:
    seed = int(os.environ.get("VISIONTUNE_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"VISIONTUNE_TEST_SEED={seed} replays this")
    chance, ends, killed = random.Random(seed), Counter[str](), Counter[str]()
    archive = tmp_path / "numbers.tar"
    archive.write_bytes(archives.tar(FILES))
    with stack.client() as client:
        for dataset in ("cold", "warm"):
            started = time.monotonic()
            undisturbed = imported(client, archive, dataset)
            takes_s = time.monotonic() - started
            forget(client, dataset)
        assert undisturbed is not None
        assert_nothing_is_left(stack, client)
        waiting: list[str] = []
        while killed.total() < kills:
            waiting = waiting or chance.sample(VICTIMS, len(VICTIMS))
            dataset = f"round-{ends.total()}"
            killer = Killer(stack, waiting[-1], after_s=chance.uniform(0, takes_s))
            killer.start()
            version = imported(client, archive, dataset)
            killer.stop()
            ends["whole" if version else "failed"] += 1
            if killer.has_killed:
                killed[waiting.pop()] += 1
            if version is None:
                assert list(client.list_versions(dataset)) == []
            else:
                assert (version.digest, version.example_count) == (undisturbed.digest, len(FILES) - 1)
            forget(client, dataset)
            assert_nothing_is_left(stack, client)
    print(f"killed {dict(killed)}, ended {dict(ends)}")
    assert set(killed) == set(VICTIMS)
    assert ends["whole"] > ends["failed"]
