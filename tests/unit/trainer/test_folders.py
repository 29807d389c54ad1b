"""Paths of stored files stay below the folder they are joined to."""

import pytest
from visiontune_trainer.domain.folders import Folder, check_path, key_of
from visiontune_trainer.domain.problems import FilePathRefused

from tests.support.trainer_values import JOB, NOW


@pytest.mark.parametrize(
    "path", ["a", "a.bin", ".gitattributes", "..a", "processor/tokenizer.json", "a-b_c/1"]
)
def test_ordinary_paths_pass(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../x", "a/../b", "a/..", "/a", "a//b", "a/", "a\\b", "a\n", "ä", "a b"]
)
def test_paths_that_could_lead_out_are_refused(path: str) -> None:
    with pytest.raises(FilePathRefused):
        check_path(path)


def test_whose_objects_they_are_tells_the_folder() -> None:
    folder = Folder(JOB, "artifacts/adapter", 12, NOW)
    assert key_of(folder.owner) == (JOB, folder.path, folder.attempt)
