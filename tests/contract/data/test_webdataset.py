"""Every version but of queries goes out as WebDataset, and comes in again as the same one."""

import io
from pathlib import Path

import pytest
from visiontune_data.example import Kind
from visiontune_data.export import EXPORTS, CannotExport, export
from visiontune_data.formats import FORMATS

from tests.contract.data.test_round_trips import examples_of, imported
from tests.support.datasets import DATASETS

EVERY_TIME = {"clip", "qwen2-vl", "chat", "retrieval"}  # the others hold the same kinds


@pytest.mark.parametrize(
    "name", [n if n in EVERY_TIME else pytest.param(n, marks=pytest.mark.slow) for n in FORMATS]
)
def test_webdataset_holds_it_all(name: str, tmp_path: Path) -> None:
    version = imported(DATASETS[name], tmp_path)
    out = io.BytesIO()
    if not set(version.kinds) <= set(EXPORTS["webdataset"]):
        with pytest.raises(
            CannotExport, match=r"cannot be written as webdataset: it is of the kind (retrieval|preference)"
        ):
            export(examples_of(version), "webdataset", out, archive="tar")
        return
    export(examples_of(version), "webdataset", out, archive="tar")
    again = imported(out.getvalue(), tmp_path)
    assert again.digest == version.digest
    assert again.format == ("clip" if version.kinds == (Kind.CAPTIONED_IMAGE,) else "qwen2-vl")
