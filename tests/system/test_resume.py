"""An upload that breaks off at any byte goes on in another process, through real programs and a real store.

The object store is reached by its public endpoint, which is another port than the servers use: a wire that
the test cuts.
"""

import os
import random
from pathlib import Path

import pytest
from visiontune import errors, uploads
from visiontune.storage.v1 import storage_pb2

from tests.support import archives
from tests.support.archives import jsonl, llava
from tests.system.conftest import PART_BYTES, Watched

IMAGES = {f"img/{seed}.jpg": archives.noise(seed, (2000, 2000)) for seed in range(3)}  # 4 MB each
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = jsonl(*(llava(path) for path in IMAGES))
    path = tmp_path_factory.mktemp("data") / "digits.tar"
    path.write_bytes(archives.tar({"train.jsonl": records, **IMAGES}))
    assert path.stat().st_size > 2 * PART_BYTES
    return path


@pytest.mark.parametrize("places", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_an_upload_cut_at_any_byte_resumes_in_another_process(
    watched: Watched, archive: Path, monkeypatch: pytest.MonkeyPatch, places: int
) -> None:
    stack, wire = watched.stack, watched.wire
    monkeypatch.setattr(uploads, "ATTEMPTS", 1)
    seed = int(os.environ.get("VISIONTUNE_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"VISIONTUNE_TEST_SEED={seed} replays this")
    chance, sha256, size = random.Random(seed), uploads.sha256_of(archive), archive.stat().st_size
    with stack.client() as client:
        for place in [chance.choice([1, size - 1]), *(chance.randrange(size) for _ in range(places - 1))]:
            wire.cut_after(place)
            with pytest.raises(errors.UploadFailed, match="did not reach the object store") as broken:
                client.upload(archive, sha256=sha256)
            wire.mend()
            there = sum(part.size_bytes for part in client.get_upload(broken.value.upload).received_parts)
            wire.cut_after(chance.randrange(1, size - there), times=1)  # which the command bears
            resume = ("dataset", "import", str(archive), "-d", "resumed", "--resume", broken.value.upload)
            stack.cli(*resume, "--no-wait")
            upload = client.get_upload(broken.value.upload)
            assert (upload.state, upload.sha256) == (storage_pb2.Upload.STATE_COMPLETE, sha256)
        assert "resumed/v1" in stack.cli(*resume).stdout  # there is nothing left to send: it waits
        for example in client.list_examples("resumed/v1"):
            assert client.get_example_image(example.name) in IMAGES.values()
