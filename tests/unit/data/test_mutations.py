"""Ten thousand damaged archives and records: no crash, no hang, no growth of memory, always a report."""

import gc
import time
import tracemalloc
from pathlib import Path

import psutil
import pytest
from visiontune_data.rules import RULES, Severity

from tests.support import archives
from tests.support.mutations import mutated, mutated_records, valid

FEW, WARM, TRACED, ALL = 300, 800, 9_000, 10_000
MOST_S = 20.0  # of one import: a second or less on a quiet machine
MOST_GROWTH_BYTES = 64_000_000  # of the process, over thousands of imports: 8 kB for each
MOST_GROWTH_BYTES_OF_PYTHON = 2_000_000  # over a thousand


def check(name: str, data: bytes, seed: int, scratch: Path) -> None:
    """Imports; a failure names the seed that makes the same archive again."""
    began = time.monotonic()
    try:
        outcome = archives.run(data, scratch, name, skip_errors=bool(seed % 2))
    except Exception as error:
        raise AssertionError(f"seed {seed} ({name}): {error!r}") from error
    assert time.monotonic() - began < MOST_S, f"seed {seed} ({name}) took long"
    errors = [rule for rule in outcome.report.rules if rule.severity is Severity.ERROR]
    assert outcome.version or errors, f"seed {seed} ({name}): refused without a reason"
    for rule in outcome.report.rules:
        assert rule.rule in RULES
        for problem in rule.problems:
            assert problem.text(name).isprintable(), f"seed {seed} ({name}): {problem!r}"
            assert len(problem.value) <= 80, f"seed {seed} ({name}): {problem!r}"


def check_many(seeds: range, scratch: Path) -> None:
    """Half of the seeds damage an archive as a file, half its records."""
    for seed in seeds:
        name, data = mutated(seed)
        if seed % 4 == 0:
            name = "records.tar"
            data = mutated_records(seed)
        folder = scratch / str(seed)
        folder.mkdir()
        check(name, data, seed, folder)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()


@pytest.mark.parametrize("name", sorted(valid()))
def test_what_is_damaged_was_good_before(name: str, tmp_path: Path) -> None:
    outcome = archives.run(valid()[name], tmp_path, name)
    assert outcome.version, archives.texts(outcome.report)


def test_some_damaged_archives_always_give_a_report(tmp_path: Path) -> None:
    check_many(range(FEW), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_archives_always_give_a_report(tmp_path: Path) -> None:
    check_many(range(FEW, WARM), tmp_path)
    gc.collect()
    before = psutil.Process().memory_info().rss
    check_many(range(WARM, TRACED), tmp_path)
    gc.collect()
    assert psutil.Process().memory_info().rss - before < MOST_GROWTH_BYTES
    tracemalloc.start()
    check_many(range(TRACED, ALL), tmp_path)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < MOST_GROWTH_BYTES_OF_PYTHON
