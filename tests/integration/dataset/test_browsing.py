"""Filters, searches, thumbnails and counts of a version, over gRPC: they always tell of the same examples."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors

from tests.support import archives
from tests.support.dataset import DatasetHandle, running_dataset
from tests.support.s3 import SeaweedFS


def files() -> dict[str, bytes]:
    """240 examples: every third in another format, some tagged, some small, some with a problem."""
    records, pictures = [], {}
    for number in range(240):
        kind, size = ("PNG", (40, 30)) if number % 3 == 0 else ("JPEG", (64, 48))
        name = f"images/{number:03d}.{kind.lower()}"
        tags: dict[str, Any] = {"tags": ["night"]} if number in {7, 230} else {}
        answer = "It is a CAT." if number % 100 == 9 else f"It is number {number}."
        records.append(archives.llava(name, answer, id=f"r{number}", **tags))
        pictures[name] = archives.encoded(
            Image.new("RGB", size, (number, 20, 9)) if number == 5 else colourful(number, size), kind
        )
    return {"train.jsonl": archives.jsonl(*records)} | pictures


def colourful(number: int, size: tuple[int, int]) -> Image.Image:
    return Image.open(io.BytesIO(archives.picture(number))).resize(size)


async def test_examples_thumbnails_and_counts_agree(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        version = await service.imported(await service.create(), files())
        assert version.shard_count == 3
        wanted = {
            ("format = PNG", ""): [n for n in range(240) if n % 3 == 0],
            ("", "a cat"): [9, 109, 209],
            ("tags:night", ""): [7, 230],
            ("tags:night", "number 230"): [230],
            ("problem = image-blank", ""): [5],
            ("width < 64 AND NOT id:1", ""): [n for n in range(240) if n % 3 == 0 and "1" not in str(n)],
            ("duplicate = true", ""): [],
        }
        for (text, query), numbers in wanted.items():
            fields = {"parent": version.name, "filter": text, "query": query}
            assert await listed(service, **fields) == [f"r{n}" for n in numbers]
            thumbnails = await service.call(
                "GetThumbnails", pb.GetThumbnailsRequest(**fields, start=1, count=7)
            )
            names = [f"{version.name}/examples/{n}" for n in numbers[1:8]]
            assert [each.example for each in thumbnails.thumbnails] == names
            assert thumbnails.total_size == len(numbers)
        wide = [f"r{n}" for n in range(240) if n % 3]
        by_pixels = await listed(service, parent=version.name, order_by="image_pixels desc")
        assert sorted(by_pixels) == sorted(await listed(service, parent=version.name))
        assert by_pixels[: len(wide)] == wide
        longest = await listed(service, parent=version.name, filter="id:10", order_by="text_bytes desc")
        assert longest[0] == "r100"
        assert longest[-1] == "r109"  # says least
        for split in ("train", "validation"):
            found = await listed(service, parent=version.name, split=split, query="a cat")
            again = await listed(service, parent=version.name, filter=f"split = {split}", query="a cat")
            assert found == again


async def listed(service: DatasetHandle, **fields: str) -> list[str]:
    """Ids of all pages of 30, whose counts agree with them."""
    request = pb.ListExamplesRequest(page_size=30, **fields)
    ids: list[str] = []
    while True:
        page = await service.call("ListExamples", request)
        ids += [each.example_id for each in page.examples]
        if not page.next_page_token:
            assert page.total_size == len(ids)
            return ids
        assert len(page.examples) == 30
        request.page_token = page.next_page_token


async def test_an_example_tells_its_tags_and_problems(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), files())
    request = pb.ListExamplesRequest(parent=version.name, filter="has:tags OR problem = image-blank")
    [blank, first, _] = (await service.call("ListExamples", request)).examples
    assert (list(first.tags), list(first.problems)) == (["night"], [])
    assert list(blank.problems) == ["image-blank"]
    assert blank.images[0].brightness == round(0.299 * 5 + 0.587 * 20 + 0.114 * 9)
    found = await service.call("GetStatistics", pb.GetStatisticsRequest(name=f"{version.name}/statistics"))
    assert (found.brightness.count, found.size_bytes.count, found.token_count.count) == (240, 240, 240)
    assert found.aspect_ratio.min == pytest.approx(4 / 3)
    assert found.token_count.max == len("What digit is this?") // 4 + 1 + len("It is number 100.") // 4 + 1
    assert (found.answer_token_count.count, found.answer_token_count.max) == (
        240,
        len("It is number 100.") // 4 + 1,
    )


async def test_what_cannot_be_read_is_refused_with_its_place(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), archives.captions(2))
    for method, request in (
        ("ListExamples", pb.ListExamplesRequest(parent=version.name, filter="colour = red")),
        ("GetThumbnails", pb.GetThumbnailsRequest(parent=version.name, filter="colour = red")),
    ):
        with pytest.raises(errors.InvalidArgument) as refused:
            await service.call(method, request)
        assert refused.value.reason == "FilterInvalid"
        assert 'at character 1, "colour": no such field' in refused.value.message
    request = pb.ListExamplesRequest(parent=version.name, page_size=1)
    token = (await service.call("ListExamples", request)).next_page_token
    with pytest.raises(errors.InvalidArgument):
        await service.call(
            "ListExamples", pb.ListExamplesRequest(parent=version.name, query="x", page_token=token)
        )


async def test_indexes_that_do_not_fit_into_memory_are_made_anew(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_dataset(s3, tmp_path, index_cache_bytes=1) as service:
        version = await service.imported(await service.create(), archives.captions(3))
        for _ in range(2):
            assert len(await listed(service, parent=version.name, query="noise number 2")) == 1
