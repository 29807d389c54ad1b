import hashlib
import json
import tarfile
from pathlib import Path

from sklearn.datasets import load_digits

from examples import digits


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        assert digits.build(tmp_path / name, limit=5) == 5
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_every_record_names_an_image_and_its_label(tmp_path: Path) -> None:
    digits.build(tmp_path / "a.tar.gz", task="parity", limit=4)
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        file = archive.extractfile("train.jsonl")
        assert file is not None
        records = [json.loads(line) for line in file]
        assert {record["image"] for record in records} == set(archive.getnames()) - {"train.jsonl"}
    assert [record["conversations"][1]["value"] for record in records] == ["even", "odd", "even", "odd"]


def test_both_tasks_hold_out_the_same_scans(tmp_path: Path) -> None:
    ids = []
    for task in digits.TASKS:
        path = tmp_path / f"{task}.tar.gz"
        digits.build(path, task=task, limit=3)
        with tarfile.open(path) as archive:
            file = archive.extractfile("train.jsonl")
            assert file is not None
            ids.append([json.loads(line)["id"] for line in file])
    assert ids[0] == ids[1]


def test_scans_are_pictures_of_their_own() -> None:
    scans = load_digits().images[:50]
    assert len({hashlib.sha256(digits.png(scan)).digest() for scan in scans}) == 50
