"""Paths of stored files stay below the folder they are joined to."""

import pytest
from visiontune_trainer.domain.folders import check_path
from visiontune_trainer.domain.problems import FilePathRefused


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
