"""Tars of WebDataset cut into several."""

import tarfile
from pathlib import Path

from visiontune.cli.sharding import cut

from tests.support import archives

FILES = {f"train/{n:08d}.{end}": bytes(3000) for n in range(4) for end in ("0.jpg", "1.jpg", "json")}
SAMPLE_BYTES = 3 * (512 + 3072)


def test_samples_stay_whole_and_in_order(tmp_path: Path) -> None:
    whole = tmp_path / "all.tar"
    whole.write_bytes(archives.tar(FILES))
    for shard_bytes, samples in [(1, [1, 1, 1, 1]), (SAMPLE_BYTES, [1, 1, 1, 1]), (SAMPLE_BYTES + 1, [2, 2])]:
        written = cut(whole, tmp_path / "part-%06d.tar", shard_bytes)
        assert [path.name for path in written] == [f"part-{n:06d}.tar" for n in range(len(samples))]
        found = [names(path) for path in written]
        assert [len(each) // 3 for each in found] == samples
        assert [name for each in found for name in each] == list(FILES)


def names(path: Path) -> list[str]:
    with tarfile.open(path) as packed:
        assert all(packed.extractfile(member).read() == bytes(3000) for member in packed)  # type: ignore[union-attr]
        return packed.getnames()
