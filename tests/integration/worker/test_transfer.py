"""Files over HTTP: verified, retried while that helps, and refused in words when it does not."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune_worker import checkpoints
from visiontune_worker.claim import RemoteFile
from visiontune_worker.faults import Cancelled, ConfigurationFault, DataFault, PassingFault, Preempted, Stale
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.transfer import Transfer, UrlRefused

from tests.support.worker_store import Store, serving

DATA = b"some bytes" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with serving(tmp_path / "store") as store:
        (store.folder / "file").write_bytes(DATA)
        yield store


def get(store: Store, to: Path, *, patience_s: float = 5.0, sha256: str = SHA256, name: str = "file") -> None:
    transfer = Transfer(patience_s=patience_s)
    try:
        transfer.get(f"{store.url}/{name}", to, sha256=sha256, size_bytes=len(DATA))
    finally:
        transfer.close()


def remote_file(store: Store, path: str) -> RemoteFile:
    return RemoteFile(path, SHA256, len(DATA), f"{store.url}/file")


def test_a_file_arrives_whole_after_passing_failures(store: Store, tmp_path: Path) -> None:
    store.answers = [500, 429]
    get(store, tmp_path / "deep" / "file")
    assert (tmp_path / "deep" / "file").read_bytes() == DATA
    assert len(store.requests) == 3


@pytest.mark.usefixtures("dead_proxy")
def test_the_store_of_this_machine_is_not_asked_through_a_proxy(store: Store, tmp_path: Path) -> None:
    get(store, tmp_path / "file", patience_s=0.5)
    assert (tmp_path / "file").read_bytes() == DATA


def test_wrong_bytes_never_appear_under_the_name(store: Store, tmp_path: Path) -> None:
    with pytest.raises(PassingFault, match="not the ones that were stored"):
        get(store, tmp_path / "file", patience_s=0.5, sha256="0" * 64)
    assert not (tmp_path / "file").exists()
    assert len(store.requests) > 1


def test_a_deleted_object_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="was it deleted"):
        get(store, tmp_path / "file", name="absent")
    assert len(store.requests) == 1


def test_an_expired_url_is_the_callers_to_renew(store: Store, tmp_path: Path) -> None:
    store.answers = [403]
    with pytest.raises(UrlRefused):
        get(store, tmp_path / "file")


def test_a_store_that_does_not_listen_is_waited_for_and_then_named(tmp_path: Path) -> None:
    with serving(tmp_path / "gone") as gone:
        pass
    with pytest.raises(PassingFault) as fault:
        get(gone, tmp_path / "file", patience_s=0.3)
    assert fault.value.reason == "OBJECT_STORE_UNAVAILABLE"


def test_a_part_of_a_file_is_put_with_its_length(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    store.answers = [503]
    transfer = Transfer(patience_s=5.0)
    transfer.put(f"{store.url}/put", source, start=10, length=25)
    transfer.close()
    assert (store.folder / "put").read_bytes() == DATA[10:35]


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "", "a//b", ".", "a\\b"])
def test_a_file_of_a_folder_never_lands_outside_of_it(store: Store, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "scratch" / "resume"
    transfer = Transfer(patience_s=5.0)
    with pytest.raises(ConfigurationFault) as fault:
        checkpoints.download([remote_file(store, path)], folder, transfer)
    assert fault.value.reason == "PATH_NOT_ALLOWED"
    assert not (tmp_path / "scratch").exists()
    checkpoints.download([remote_file(store, "a/b.bin")], folder, transfer)
    assert (folder / "a" / "b.bin").read_bytes() == DATA
    transfer.close()


def test_an_absolute_path_is_no_way_out(store: Store, tmp_path: Path) -> None:
    transfer = Transfer(patience_s=5.0)
    with pytest.raises(ConfigurationFault):
        checkpoints.download([remote_file(store, str(tmp_path / "out"))], tmp_path / "in", transfer)
    assert not (tmp_path / "out").exists()
    transfer.close()


def test_waiting_ends_when_somebody_says_stop(store: Store, tmp_path: Path) -> None:
    interrupts = Interrupts()
    interrupts.hear(Cancelled("a user"))
    transfer = Transfer(patience_s=60.0, check=interrupts.check)
    with pytest.raises(Cancelled):
        transfer.get(f"{store.url}/file", tmp_path / "file", sha256=SHA256, size_bytes=len(DATA))
    transfer.close()


def test_the_strongest_order_wins_and_saving_outlives_preemption() -> None:
    interrupts = Interrupts()
    interrupts.check()
    interrupts.hear(Preempted("first"))
    interrupts.check_final()
    with pytest.raises(Preempted):
        interrupts.check()
    interrupts.hear(Stale("then"))
    interrupts.hear(Cancelled("too weak"))
    with pytest.raises(Stale):
        interrupts.check_final()
