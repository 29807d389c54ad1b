"""What `make bench` writes down."""

import os
from pathlib import Path

import pytest

from benchmarks import __main__ as bench


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
