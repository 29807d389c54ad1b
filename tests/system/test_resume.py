"""An upload that breaks off at any byte goes on in another process, through real programs and a real store.

The object store is reached by its public endpoint, which is another port than the servers use: a wire that
the test cuts.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from visiontune import errors, uploads
from visiontune.storage.v1 import storage_pb2
from visiontune_stack.ports import Ports

from tests.support import archives, proxies
from tests.support import stack as stacks
from tests.support.archives import jsonl, llava
from tests.support.proxies import Wire
from tests.support.stack import Stack

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
IMAGES = {f"img/{seed}.jpg": archives.noise(seed, (2000, 2000)) for seed in range(3)}  # 4 MB each
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Line:
    """A stack, and the wire to its object store."""

    stack: Stack
    wire: Wire


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with proxies.wire() as wire:
        made = stacks.make(
            tmp_path_factory.mktemp("resume") / "home",
            VISIONTUNE_STORAGE_S3_PUBLIC_ENDPOINT=wire.endpoint,
            VISIONTUNE_STORAGE_SINGLE_PART_LIMIT_BYTES=str(PART_BYTES),
            VISIONTUNE_STORAGE_PART_SIZE_BYTES=str(PART_BYTES),
        )
        wire.target_port = Ports(made.port).s3
        made.up()
        yield Line(made, wire)
        made.down()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = jsonl(*(llava(path) for path in IMAGES))
    path = tmp_path_factory.mktemp("data") / "digits.tar"
    path.write_bytes(archives.tar({"train.jsonl": records, **IMAGES}))
    assert path.stat().st_size > 2 * PART_BYTES
    return path


def test_an_upload_cut_at_any_byte_resumes_in_another_process(
    line: Line, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "ATTEMPTS", 1)
    seed = int(os.environ.get("VISIONTUNE_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"VISIONTUNE_TEST_SEED={seed} replays this")
    chance, sha256, size = random.Random(seed), uploads.sha256_of(archive), archive.stat().st_size
    with line.stack.client() as client:
        for place in [1, size - 1, *(chance.randrange(size) for _ in range(2))]:
            line.wire.cut_after(place)
            with pytest.raises(errors.UploadFailed, match="did not reach the object store") as broken:
                client.upload(archive, sha256=sha256)
            line.wire.mend()
            there = sum(part.size_bytes for part in client.get_upload(broken.value.upload).received_parts)
            line.wire.cut_after(chance.randrange(1, size - there), times=1)  # which the command bears
            resume = ("dataset", "import", str(archive), "-d", "digits", "--resume", broken.value.upload)
            line.stack.cli(*resume, "--no-wait")
            upload = client.get_upload(broken.value.upload)
            assert (upload.state, upload.sha256) == (storage_pb2.Upload.STATE_COMPLETE, sha256)
        assert "digits/v1" in line.stack.cli(*resume).stdout  # there is nothing left to send: it waits
        for example in client.list_examples("digits/v1"):
            assert client.get_example_image(example.name) in IMAGES.values()
