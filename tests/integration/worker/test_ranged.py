"""Examples are read by ranges as they are read from whole shards, over a server that stands for the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune_worker.claim import Manifest
from visiontune_worker.faults import DataFault, PassingFault
from visiontune_worker.ranged import RangedShards
from visiontune_worker.transfer import Transfer

from tests.support import worker_data, worker_store
from tests.support.worker_store import Store

ROWS = 230


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Manifest]]:
    folder = tmp_path_factory.mktemp("shards")
    with worker_store.serving(folder) as store:
        rows = [worker_data.row(index) for index in range(ROWS)]
        yield store, worker_data.write_shards(folder, rows, shards=2, base_url=store.url)


@pytest.fixture
def transfer() -> Iterator[Transfer]:
    made = Transfer(patience_s=5)
    yield made
    made.close()


def test_texts_and_examples_are_those_of_whole_shards(
    served: tuple[Store, Manifest], transfer: Transfer, tmp_path: Path
) -> None:
    store, manifest = served
    ranged = RangedShards(manifest, transfer)
    whole = worker_data.local_shards(manifest, store.folder, tmp_path)
    assert list(ranged.texts("train")) == list(whole.texts("train"))
    assert ranged.counts("train") == whole.counts("train")
    for shard, nth in ((0, 0), (0, 85), (1, 91)):
        assert ranged.example("train", shard, nth) == whole.example("train", shard, nth)
    assert ranged.row(120).id == "digit-0120"
    assert ranged.row(120) == whole.example("validation", 1, 1)
    whole.close()


def test_one_example_costs_its_row_group_alone(served: tuple[Store, Manifest], transfer: Transfer) -> None:
    store, manifest = served
    store.requests.clear()
    parts: list[int] = []
    get_part = transfer.get_part

    def counted(url: str, *, start: int, length: int) -> bytes:
        parts.append(length)
        return get_part(url, start=start, length=length)

    transfer.get_part = counted  # type: ignore[method-assign]  # only looks
    assert RangedShards(manifest, transfer).row(110).id == "digit-0110"
    assert {request.partition(".")[0] for request in store.requests} == {"GET /shard-0"}
    _footer, *groups = parts
    assert sum(groups) < manifest.shards[0].size_bytes / 4


def test_what_cannot_be_read_is_said(served: tuple[Store, Manifest], transfer: Transfer) -> None:
    store, manifest = served
    with pytest.raises(DataFault, match="no row 230"):
        RangedShards(manifest, transfer).row(ROWS)
    store.answers.append(403)
    with pytest.raises(PassingFault, match="signed URL of a shard"):
        RangedShards(manifest, transfer).row(0)
    store.answers += [503, 200]  # away, then not the part that was asked for
    assert RangedShards(manifest, transfer).row(0).id == "digit-0000"
