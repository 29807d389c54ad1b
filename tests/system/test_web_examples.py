"""Looking at a version in the browser: search, filters, duplicates, keys."""

import json
import re
import tarfile
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from examples import digits
from tests.support import pictures
from tests.support.stack import Stack
from tests.support.web import Visit

NUMBERS = 40
TWIN_OF = 7  # one more record has its picture, and says something else

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def numbers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the page of a version of numbered pictures."""
    path = tmp_path_factory.mktemp("numbers") / "numbers.tar"
    records = [pictures.record(number) for number in range(NUMBERS)]
    twin = pictures.record(NUMBERS) | {"image": records[TWIN_OF]["image"], "tags": ["odd one"]}
    with tarfile.open(path, "w") as archive:
        lines = "".join(json.dumps(record) + "\n" for record in [*records, twin])
        digits.add(archive, "train.jsonl", lines.encode())
        for number in range(NUMBERS):
            digits.add(archive, f"{number:05d}.jpg", pictures.picture(number))
    stack.cli("dataset", "import", str(path), "--dataset", "numbers")
    return "/datasets/numbers/versions/v1"


def matches(page: Page, count: int) -> None:
    """The count and the grid agree."""
    expect(page.get_by_text(re.compile(rf"^{count} match(es)?$"))).to_be_visible()
    expect(page.get_by_role("group", name=f"{count} thumbnails")).to_be_visible()


def test_search_and_filters_narrow_the_grid_and_stay_in_the_address(visit: Visit, numbers: str) -> None:
    page = visit.open(numbers)
    expect(page.locator('[data-index="0"] img')).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("it is 3")
    matches(page, 11)  # 3 and 30 to 39
    page.get_by_label("Filter", exact=True).fill("id:n-0003 AND NOT answer:5")
    matches(page, 9)
    page.locator('[data-index="8"]').click()
    expect(page.get_by_role("dialog").get_by_text("It is 39.")).to_be_visible()
    page.reload()
    expect(page.get_by_role("dialog").get_by_text("Example 9 of 9")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog").get_by_text("It is 38.")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("group", name=f"{NUMBERS + 1} thumbnails")).to_be_visible()
    page.get_by_text("Duplicates", exact=True).last.click()
    matches(page, 2)


def test_a_link_to_an_image_opens_without_a_key(visit: Visit, numbers: str, stack: Stack) -> None:
    page = visit.open(f"{numbers}?at=3")
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("button", name="Share for an hour").click()
    url = drawer.get_by_role("link", name="Open").get_attribute("href")
    assert url
    answer = httpx.get(url)
    assert (answer.content, answer.headers["content-type"]) == (pictures.picture(3), "image/jpeg")
    assert answer.headers["cache-control"].startswith("public, max-age=")
    signed = json.loads(stack.cli("dataset", "links", "numbers/v1", "3", "--output", "json").stdout)
    assert signed["links"][0]["imageUrls"] == [url], "asked again soon the link is the same"
    told = stack.cli("dataset", "links", "numbers", "3", "4").stdout
    assert url in told
    assert told.count("thumbnail http://") == 2
    thumbnail = httpx.get(signed["links"][0]["thumbnailUrl"])
    assert thumbnail.content.startswith(b"\xff\xd8")


def test_a_filter_that_cannot_be_read_is_explained(visit: Visit, numbers: str) -> None:
    page = visit.open(f"{numbers}?filter=colour+%3D+red")
    expect(page.get_by_role("alert")).to_contain_text("colour")
    visit.complaints[:] = [text for text in visit.complaints if "400" not in text]
    page.get_by_role("button", name="How to filter").click()
    expect(page.get_by_role("dialog").get_by_text("tags:night")).to_be_visible()


def test_duplicates_show_what_each_says_and_lead_to_the_example(visit: Visit, numbers: str) -> None:
    page = visit.open(f"{numbers}?tab=duplicates")
    group = page.get_by_role("region", name=re.compile("^2 × "))
    expect(group).to_contain_text("answers differ")
    expect(group.locator("img")).to_be_visible()
    group.get_by_role("link", name=f"n-{NUMBERS:05d}").click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text(f"It is {NUMBERS}.")
    expect(drawer).to_contain_text("odd one")


def test_statistics_lead_to_the_examples_that_they_count(visit: Visit, numbers: str) -> None:
    page = visit.open(f"{numbers}?tab=statistics")
    expect(page.get_by_role("img", name=re.compile("^Brightness"))).to_be_visible()
    page.get_by_role("list", name="Most frequent answers").get_by_role("link", name="It is 12.").click()
    matches(page, 1)


def test_the_keys_are_listed(visit: Visit, numbers: str) -> None:
    page = visit.open(numbers)
    expect(page.locator('[data-index="0"] img')).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").get_by_text("Search the texts")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator('[data-index="0"]').focus()
    page.keyboard.press("End")
    expect(page.locator(f'[data-index="{NUMBERS}"]')).to_be_focused()


def test_a_version_is_exported_and_taken_away(visit: Visit, numbers: str, tmp_path: Path) -> None:
    page = visit.open(numbers)
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_text(".tar", exact=True).click()
    page.get_by_role("button", name="Start the export").click()
    expect(page.get_by_role("button", name="Download")).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "numbers.tar")
    with tarfile.open(tmp_path / "numbers.tar") as archive:
        pictures_in = [name for name in archive.getnames() if name.endswith(".jpg")]
    assert len(pictures_in) == NUMBERS
    page.reload()
    expect(page.get_by_role("button", name="Download")).to_be_visible()


def test_what_a_filter_leaves_becomes_a_version_of_its_own(visit: Visit, numbers: str) -> None:
    page = visit.open(f"{numbers}?q=it+is+3&filter=NOT+answer:5")
    matches(page, 10)
    page.get_by_role("button", name="Make a version of these").click()
    expect(page.get_by_text("is ready: 10 examples, 10 images")).to_be_visible(timeout=60_000)
