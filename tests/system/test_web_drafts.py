"""Editing a version in the browser: by keys, in a draft, until it is the next version."""

import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from tests.support import archives, pictures
from tests.support.stack import Stack
from tests.support.web import Visit

NUMBERS = 12

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def dataset(stack: Stack, tmp_path: Path) -> str:
    """Id of a dataset of the test's own, with one version of numbered pictures."""
    name = f"drafts-{uuid.uuid4().hex[:8]}"
    pictures.build(tmp_path / "edited.tar", NUMBERS)
    stack.cli("dataset", "import", str(tmp_path / "edited.tar"), "--dataset", name)
    return name


def begin(visit: Visit, dataset: str, at: int) -> Page:
    page = visit.open(f"/datasets/{dataset}/versions/v1?at={at}")
    expect(page.get_by_role("dialog").get_by_text(f"It is {at}.")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_role("region", name="Draft")).to_be_visible()
    page.locator(f'[data-index="{at}"]').click()
    expect(page.get_by_label("Text of message 2")).to_have_value(f"It is {at}.")
    return page


def press(page: Page, key: str, field: Locator) -> None:
    """Presses a key that leads to a field, again where the page was not yet listening."""
    for _ in range(10):
        page.keyboard.press(key)
        with suppress(AssertionError):
            expect(field).to_be_focused(timeout=2_000)
            return
    expect(field).to_be_focused()


def test_an_example_is_edited_by_keys_and_committed_as_the_next_version(visit: Visit, dataset: str) -> None:
    page = begin(visit, dataset, 3)
    press(page, "e", page.get_by_label("Text of message 2"))
    page.keyboard.press("End")
    page.keyboard.type(" Really.", delay=300)  # so slowly that a part is saved before the rest is typed
    expect(page.get_by_text("All changes are saved")).to_be_visible()
    page.get_by_label("Text of message 2").blur()
    press(page, "t", page.get_by_label("Tags"))
    page.keyboard.type("odd")
    page.get_by_label("Tags").blur()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Text of message 2")).to_have_value("It is 4.")
    page.keyboard.press("x")
    expect(page.get_by_text("Deleted in this draft")).to_be_visible()
    page.reload()  # what was typed was saved by itself
    expect(page.get_by_text("Deleted in this draft")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Text of message 2")).to_have_value("It is 3. Really.")
    expect(page.get_by_label("Tags")).to_have_value("odd")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="3 edits").click()
    page.get_by_role("dialog").get_by_role("listitem").filter(has_text="odd").get_by_role("button").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="2 edits")).to_be_visible()
    page.get_by_role("button", name="Commit as a new version").click()
    expect(page.get_by_text(f"is ready: {NUMBERS - 1} examples")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Look at it").click()
    expect(page.get_by_role("heading", name=f"{dataset} v2")).to_be_visible()
    expect(page.get_by_role("group", name=f"{NUMBERS - 1} thumbnails")).to_be_visible()
    page.get_by_role("tab", name="Changes").click()
    expect(page.get_by_role("region", name="n-00003")).to_contain_text("It is 3. Really.")
    expect(page.get_by_role("region", name="n-00004")).to_contain_text("went")
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("region", name="Jobs that train on it")).to_contain_text("None yet.")
    page.get_by_role("region", name="Where it comes from").get_by_role("link", name="v1").click()
    expect(page.get_by_role("heading", name=f"{dataset} v1")).to_be_visible()
    visit.open(f"/datasets/{dataset}/versions/v2")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("table", name="Versions").get_by_role("link")).to_have_text(["v1"])
    page.get_by_role("table", name="Deleted").get_by_role("button", name="Bring back").click()
    expect(page.get_by_role("table", name="Versions").get_by_role("link")).to_have_text(["v2", "v1"])
    expect(page.get_by_role("table", name="Deleted")).to_have_count(0)


def test_what_a_rule_forbids_is_not_saved_and_said(visit: Visit, dataset: str) -> None:
    page = begin(visit, dataset, 2)
    page.get_by_label("Text of message 2").fill("")
    page.get_by_label("Text of message 2").blur()
    expect(page.get_by_role("region", name="Draft").get_by_role("alert")).to_be_visible()
    expect(page.get_by_text("Not saved")).to_be_visible()
    visit.complaints[:] = [text for text in visit.complaints if "400" not in text]


def test_a_draft_on_an_older_version_is_moved_to_the_newest_and_committed(
    visit: Visit, dataset: str, stack: Stack, tmp_path: Path
) -> None:
    page = begin(visit, dataset, 5)
    page.keyboard.press("s")
    expect(page.get_by_text("All changes are saved")).to_be_visible()
    pictures.build(tmp_path / "more.tar", NUMBERS + 1)
    stack.cli("dataset", "import", str(tmp_path / "more.tar"), "--dataset", dataset)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Commit as a new version").click()
    page.get_by_role("button", name="Move my edits and commit").click()
    expect(page.get_by_text(f"is ready: {NUMBERS + 1} examples")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("v3", exact=True)).to_be_visible()
    # The refused commit is on the browser's console too.
    visit.complaints[:] = [text for text in visit.complaints if "400" not in text]


def test_an_example_is_added_with_an_image_from_disk(
    visit: Visit, dataset: str, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "new.jpg").write_bytes(archives.noise(77))
    page = visit.open(f"/datasets/{dataset}/versions/v1")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Add an example").click()
    form = page.get_by_role("dialog")
    with page.expect_file_chooser() as chooser:
        form.get_by_label("Images").click()
    chooser.value.set_files(tmp_path / "new.jpg")
    expect(form.get_by_role("button", name="Add it to the draft")).to_be_disabled()
    form.get_by_label("Question").fill("What is it?")
    form.get_by_label("Answer").fill("Noise.")
    form.get_by_text("test", exact=True).click()
    form.get_by_label("Tags").fill("odd, new")
    form.get_by_role("button", name="Add it to the draft").click()
    expect(form).to_have_count(0)
    page.get_by_role("button", name="1 edit").click()
    expect(page.get_by_role("dialog").get_by_role("listitem")).to_contain_text("added: Noise.")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Commit as a new version").click()
    expect(page.get_by_text(f"is ready: {NUMBERS + 1} examples")).to_be_visible(timeout=60_000)
    [added] = stack.client().list_examples(f"{dataset}/v2", filter_="tags:odd")
    assert (added.split, list(added.tags), added.images[0].format) == ("test", ["odd", "new"], "JPEG")


@pytest.mark.slow
def test_leaving_with_what_is_not_saved_yet_is_asked_about(visit: Visit, dataset: str) -> None:
    page = begin(visit, dataset, 1)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_label("Text of message 2").press_sequentially(" Not yet saved.")
    page.evaluate("location.href = '/datasets'")
    expect(page.get_by_text("All changes are saved")).to_be_visible()
    expect(page.get_by_role("button", name="1 edit")).to_be_visible()  # by itself, when typing paused
    assert asked == ["beforeunload"]
    page.goto(f"{visit.stack.url}/datasets")
    assert asked == ["beforeunload"], "nothing is lost any more"
