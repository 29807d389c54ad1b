"""The template of every format imports as it is, by name and by detection, and says how."""

import io
import zipfile
from pathlib import Path

import pytest
from visiontune_data import template
from visiontune_data.formats import AUTO, FORMATS, Format

from tests.support.archives import run, texts

pytestmark = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())


def made(format_: Format) -> bytes:
    out = io.BytesIO()
    template.write(format_.name, out)
    return out.getvalue()


def test_it_imports_without_a_problem(format_: Format, tmp_path: Path) -> None:
    for wanted in (AUTO, format_.name):
        outcome = run(made(format_), tmp_path, "t.zip", format=wanted)
        assert texts(outcome.report) == []
        assert outcome.version
        assert (outcome.version.format, outcome.version.kinds) == (format_.name, (format_.kind,))
        assert outcome.version.statistics.split_counts == {"train": 4, "validation": 2}
        assert outcome.report.format_reason == (
            f"{format_.name}: {format_.evidence}" if wanted == AUTO else ""
        )


def test_it_is_the_same_each_time_and_explains_itself(format_: Format) -> None:
    assert made(format_) == made(format_)
    readme = zipfile.ZipFile(io.BytesIO(made(format_))).read("README.md").decode()
    assert format_.description in readme
    assert f"--format {format_.name}" in readme
