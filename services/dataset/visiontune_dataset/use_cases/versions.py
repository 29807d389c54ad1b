"""Reading versions: facts, statistics, reports, examples, pictures, and all of it for training."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from visiontune_data import comparing, filters
from visiontune_data.comparing import Comparison
from visiontune_data.filters import FilterError
from visiontune_data.index import Order
from visiontune_data.problem_log import PAGE_PROBLEMS
from visiontune_data.report import Problem
from visiontune_data.statistics import Statistics

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import ExampleNotFound, FilterInvalid, VersionNotFound
from visiontune_dataset.ports import Deps, SignedUrl
from visiontune_dataset.ports.database import StoredReport


@dataclass(frozen=True, slots=True)
class Selection:
    """Which examples of a version, and in which order; what is empty leaves nothing out."""

    split: str = ""
    filter: str = ""  # see visiontune_data.filters
    query: str = ""  # text that a message or caption contains
    order: Order | None = None  # None: as they lie in the version

    @property
    def needs_index(self) -> bool:
        """Whether content decides, not only the split."""
        return bool(self.filter.strip() or self.query or self.order)


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A row of a version, without image bytes: the preview's JSON, read."""

    row: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShownThumbnail:
    """A row's picture; `data` is empty for an example without images."""

    row: int
    data: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """Original bytes of an image and its format."""

    data: bytes
    format: str


async def get_version(project: str, dataset_id: str, number: int, deps: Deps) -> Version:
    """Returns one. Raises DatasetNotFound, VersionNotFound."""
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        return await uow.versions.get(project, dataset_id, number)


async def list_versions(
    project: str, dataset_id: str, below: int | None, limit: int, deps: Deps, *, deleted: bool = False
) -> tuple[list[Version], int | None]:
    """Returns a page, newest first, and the number below which the next begins; of deleted ones if asked."""
    deleted_at = deps.clock.now() if deleted else None
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        found = await uow.versions.page(project, dataset_id, below, limit + 1, deleted_at=deleted_at)
    page = found[:limit]
    return page, page[-1].number if len(found) > limit else None


async def get_statistics(version: Version, deps: Deps) -> Statistics:
    """Returns what was computed at import."""
    async with deps.unit_of_work() as uow:
        return await uow.versions.statistics(version)


async def get_report(project: str, dataset_id: str, report_id: str, deps: Deps) -> StoredReport:
    """Returns what an import found. Raises DatasetNotFound, ReportNotFound."""
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        return await uow.reports.get(project, dataset_id, report_id)


async def select(version: Version, wanted: Selection, deps: Deps) -> Sequence[int]:
    """Returns the rows that are wanted, ascending unless there is an order. Raises FilterInvalid."""
    rows = version.rows(wanted.split)
    if not wanted.needs_index:
        return rows
    try:
        condition = filters.parse(wanted.filter)
    except FilterError as error:
        raise FilterInvalid(str(error)) from error
    index = await deps.indexes.of(version)
    found = await asyncio.to_thread(index.select, condition, wanted.query)
    found = sorted(set(found).intersection(rows)) if wanted.split else found
    return await asyncio.to_thread(index.ordered, found, wanted.order) if wanted.order else found


async def list_problems(
    stored: StoredReport, start: int, limit: int, deps: Deps
) -> tuple[list[Problem], int | None]:
    """Returns problems from the `start`-th on, of one page of the log, and where the next ones begin."""
    page, skipped = divmod(start, PAGE_PROBLEMS)
    async with deps.unit_of_work() as uow:
        found = await uow.reports.problems(stored, page)
        more = len(found) == PAGE_PROBLEMS and bool(await uow.reports.problems(stored, page + 1))
    if not found and start == 0:  # of an import that runs, or of before all were kept
        return [problem for rule in stored.report.rules for problem in rule.problems], None
    listed = found[skipped : skipped + limit]
    end = start + len(listed)
    return listed, end if more or end < page * PAGE_PROBLEMS + len(found) else None


async def list_examples(
    version: Version, wanted: Selection, start: int, count: int, deps: Deps
) -> tuple[list[ShownExample], int]:
    """Returns examples from the `start`-th of those wanted, and how many are wanted in all."""
    rows = await select(version, wanted, deps)
    page = rows[start : start + count]
    if wanted.needs_index:  # which has them; read by ranges, each might be in another row group
        return await shown(version, page, deps), len(rows)
    return await examples_at(version, page, deps), len(rows)


async def examples_at(version: Version, rows: Sequence[int], deps: Deps) -> list[ShownExample]:
    """Returns those rows, which ascend and are there."""
    found = await _preview(version, rows, ["example"], deps)
    return [ShownExample(row, json.loads(each["example"])) for row, each in zip(rows, found, strict=True)]


async def get_example(version: Version, row: int, deps: Deps) -> ShownExample:
    """Returns one row. Raises ExampleNotFound."""
    check_row(version, row)
    [found] = await examples_at(version, [row], deps)
    return found


async def get_thumbnails(
    version: Version, wanted: Selection, start: int, count: int, deps: Deps
) -> tuple[list[ShownThumbnail], int]:
    """Returns pictures of examples from the `start`-th of those wanted, and how many are wanted in all."""
    rows = await select(version, wanted, deps)
    page = rows[start : start + count]
    found = await _preview(version, page, ["thumbnail", "width_px", "height_px"], deps)
    shown = [
        ShownThumbnail(row, each["thumbnail"] or b"", each["width_px"], each["height_px"])
        for row, each in zip(page, found, strict=True)
    ]
    return shown, len(rows)


async def compare_versions(
    version: Version, base_number: int | None, deps: Deps
) -> tuple[Version, Comparison]:
    """Returns the base and what differs; without a number the base is its parent, or the version before.

    Raises VersionNotFound.
    """
    wanted = base_number or version.parent
    async with deps.unit_of_work() as uow:
        if not wanted and not (
            before := await uow.versions.page(version.project, version.dataset, version.number, 1)
        ):
            raise VersionNotFound(f"{version.dataset_name}/versions/v{version.number - 1}")
        base = await uow.versions.get(version.project, version.dataset, wanted) if wanted else before[0]
    old, new = await deps.indexes.of(base), await deps.indexes.of(version)
    return base, await asyncio.to_thread(comparing.compare, old, new)


async def shown(version: Version, rows: Sequence[int], deps: Deps) -> list[ShownExample]:
    """Returns rows, out of the index."""
    index = await deps.indexes.of(version)
    return [ShownExample(row, json.loads(index.preview(row))) for row in rows]


async def get_image(version: Version, row: int, index: int, deps: Deps) -> ImageBytes:
    """Returns the original bytes of one image of an example. Raises ExampleNotFound."""
    example = await get_example(version, row, deps)
    images = example.content["images"]
    if index >= len(images):
        raise ExampleNotFound(f"{version.name}/examples/{row}", f"it has {len(images)} images, from 0")
    [(shard, [local])] = version.located([row])
    [found] = await deps.rows.read(shard.examples, [local], ["images"])
    return ImageBytes(found["images"][index]["bytes"], images[index][4])


async def get_thumbnail(version: Version, row: int, deps: Deps) -> ImageBytes:
    """Returns the thumbnail of an example that has an image. Raises ExampleNotFound."""
    check_row(version, row)
    [found] = await _preview(version, [row], ["thumbnail"], deps)
    return ImageBytes(found["thumbnail"], "JPEG")


async def read_manifest(version: Version, ttl: timedelta, deps: Deps) -> list[SignedUrl]:
    """Returns a signed URL for each shard, in order, and notes how long they work."""
    signed = await deps.storage.sign([shard.examples.object for shard in version.shards], ttl)
    async with deps.unit_of_work() as uow:
        await uow.versions.note_reading(version, max(each.expires_at for each in signed))
        await uow.commit()
    return signed


async def _preview(
    version: Version, rows: Sequence[int], columns: Sequence[str], deps: Deps
) -> list[dict[str, Any]]:
    found = await asyncio.gather(
        *(deps.rows.read(shard.preview, local, columns) for shard, local in version.located(rows))
    )
    return [row for own in found for row in own]


def check_row(version: Version, row: int) -> None:
    """Raises ExampleNotFound for a row that the version does not have."""
    if row >= version.example_count:
        raise ExampleNotFound(
            f"{version.name}/examples/{row}", f"the version has {version.example_count:,} examples, from 0"
        )
