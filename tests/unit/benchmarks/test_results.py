"""What `make bench` writes down."""

import os
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.result import Result, table


def test_the_results_name_the_machine_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(7)))
    (tmp_path / "README.md").write_text(f"before {bench.START}of an older one{bench.END} after")
    bench.write([])
    text = (tmp_path / "README.md").read_text()
    assert "cores: 7." in text
    assert "older" not in text
    assert text.startswith("before ")
    assert text.endswith(" after")


@pytest.mark.parametrize(
    ("less_is_better", "said"), [(False, "0.50 | 1.00 | short"), (True, "2.00 | 1.00 | reached")]
)
def test_seconds_are_better_the_fewer_there_are(less_is_better: bool, said: str) -> None:
    assert said in table([Result("a start", "s", 0.5, 1.0, aim=1.0, less_is_better=less_is_better)])
