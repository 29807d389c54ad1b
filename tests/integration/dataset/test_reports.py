"""A report is there while its import runs, has exact counts, and every problem can be listed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from visiontune import reports
from visiontune.cli import offline
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors

from tests.support import archives
from tests.support.dataset import DatasetHandle, metadata_of
from tests.support.eventually import eventually

BROKEN = 2_300


async def listed(service: DatasetHandle, report: str, **fields: Any) -> list[pb.Problem]:
    """All problems, over all pages."""
    found: list[pb.Problem] = []
    request = pb.ListProblemsRequest(parent=report, **fields)
    while True:
        page = await service.call("ListProblems", request)
        assert page.total_size >= len(page.problems) > 0
        found += page.problems
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_every_problem_is_listed_in_order(service: DatasetHandle) -> None:
    dataset = await service.create()
    records = [archives.llava(f"absent-{n}.jpg") for n in range(BROKEN)]
    files = archives.good(2) | {"train.jsonl": archives.jsonl(*records, archives.llava("img/0000.jpg"))}
    operation = await service.ended(await service.start(dataset, files))
    report = await service.report(metadata_of(operation).validation_report)
    assert not report.in_progress
    (rule,) = (each for each in report.rules if each.rule == "image-missing")
    assert (rule.count, len(rule.problems)) == (BROKEN, 20)
    for fields in ({}, {"page_size": 700}):
        problems = [each for each in await listed(service, report.name, **fields) if each.rule == rule.rule]
        assert [each.line for each in problems] == list(range(1, BROKEN + 1))
        assert problems[:20] == list(rule.problems)


async def test_the_report_is_the_one_that_the_cli_makes_without_a_server(
    service: DatasetHandle, tmp_path: Path
) -> None:
    files = archives.good(3) | {"img/0001.jpg": archives.picture()[:300], "a\\b.txt": b""}
    path = tmp_path / "data.tar.gz"
    path.write_bytes(archives.pack(files, path.name))
    outcome = offline.validate([path], "auto", skip_errors=False, progress=lambda *_: None)
    operation = await service.ended(await service.start(await service.create(), files, path.name))
    report = await service.report(metadata_of(operation).validation_report)
    assert (outcome.version, report.version) == (None, "")
    report.ClearField("name")
    report.ClearField("create_time")
    assert reports.report_to(outcome.report) == report


async def test_the_problems_of_somebody_else_are_not_found(service: DatasetHandle) -> None:
    request = pb.ListProblemsRequest(parent="projects/default/datasets/d/validationReports/r")
    with pytest.raises(errors.NotFound):
        await service.call("ListProblems", request)


async def test_what_was_found_is_told_while_the_import_runs(service: DatasetHandle) -> None:
    dataset = await service.create()
    files = {"odd\\name.txt": b""} | archives.numbered(400, (512, 384))
    operation = await service.start(dataset, files, "data.tar")
    running = None
    while running is None:
        now = await service.get(operation)
        assert not now.done, "the import was too quick to be watched"
        if name := metadata_of(now).validation_report:
            running = await service.report(name)
        await asyncio.sleep(0.05)
    assert running.in_progress
    assert not running.version
    assert [rule.rule for rule in running.rules] == ["path-backslash"]
    assert [each.rule for each in await listed(service, running.name)] == ["path-backslash"]
    await service.ended(operation)
    final = await service.report(running.name)
    assert (final.in_progress, final.example_count) == (False, 400)
    assert final.version


async def test_an_import_that_is_cancelled_leaves_no_report(service: DatasetHandle) -> None:
    dataset = await service.create()
    files = {"odd\\name.txt": b""} | archives.numbered(400, (512, 384))
    operation = await service.start(dataset, files, "data.tar")

    async def told() -> str:
        return metadata_of(await service.get(operation)).validation_report

    name = await eventually(told)
    await service.cancel(operation)
    await service.until_objects(0)
    with pytest.raises(errors.NotFound):
        await service.report(name)
