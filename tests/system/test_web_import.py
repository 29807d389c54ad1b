"""Bringing data in by the browser: folders, and uploads that a reload breaks off."""

import json
import random
import re
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from examples import digits
from tests.support import archives
from tests.support.web import Visit

SCANS = 20
SIDE_PX = 1_000  # a bitmap of 3 MB
BITMAPS = 6  # more than fit into one PUT, of that stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    digits.build(tmp_path / "packed.tar.gz", limit=SCANS)
    (tmp_path / "My scans").mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "packed.tar.gz", "-C", tmp_path / "My scans"], check=True)
    return tmp_path / "My scans"


def drop(page: Page, path: Path) -> None:
    """Drops a file or folder from outside the browser onto the middle of the page."""
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 300, "data": data})
    devtools.detach()


def test_a_folder_can_be_dropped_or_chosen_and_is_the_same_data(visit: Visit, folder: Path) -> None:
    page = visit.open("/datasets/import")
    expect(page.get_by_text("Drop files or a folder here")).to_be_visible()
    drop(page, folder)
    expect(page.get_by_text("My scans.tar", exact=True)).to_be_visible()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text(f"is ready: {SCANS} examples, {SCANS} images.")).to_be_visible(timeout=60_000)
    page = visit.open("/datasets/import")
    page.get_by_label("Folder to import").set_input_files(folder)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("so no new version was made")).to_be_visible(timeout=60_000)
    # That the dataset exists already is an answer, but the browser takes it for an error.
    visit.complaints[:] = [text for text in visit.complaints if "409" not in text]


def test_records_and_pictures_in_files_of_their_own_are_one_dataset(
    visit: Visit, folder: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "pictures.tar", "w") as archive:
        archive.add(folder / "images", "images")
    page = visit.open("/datasets/import")
    page.get_by_label("Files to import").set_input_files(tmp_path / "packed.tar.gz")
    page.get_by_role("button", name="Remove packed.tar.gz").click()
    page.get_by_label("Files to import").set_input_files(folder / "train.jsonl")
    page.get_by_label("Files to import").set_input_files(tmp_path / "pictures.tar")
    expect(page.get_by_role("list", name="Chosen files").get_by_role("listitem")).to_have_count(2)
    page.get_by_label("Dataset", exact=True).fill("two-files")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text(f"is ready: {SCANS} examples, {SCANS} images.")).to_be_visible(timeout=60_000)


@pytest.mark.slow
def test_an_import_goes_on_from_a_version_and_makes_images_smaller(visit: Visit, tmp_path: Path) -> None:
    for name, numbers in (("first", range(3)), ("second", range(2, 5))):
        records = archives.jsonl(*map(archives.numbered_record, numbers))
        images = {archives.image_name(n): archives.noise(n, (300, 200)) for n in numbers}
        (tmp_path / f"{name}.tar").write_bytes(archives.tar({"train.jsonl": records, **images}))
    page = visit.open("/datasets/import")
    page.get_by_label("Files to import").set_input_files(tmp_path / "first.tar")
    page.get_by_label("Dataset", exact=True).fill("goes-on")
    expect(page.get_by_label("Goes on from")).to_have_count(0)  # there is no such dataset yet
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("is ready: 3 examples, 3 images.")).to_be_visible(timeout=60_000)

    page = visit.open("/datasets/import?dataset=goes-on")
    page.get_by_label("Files to import").set_input_files(tmp_path / "second.tar")
    page.get_by_label("Goes on from").select_option(label="v1, 3 examples")
    page.get_by_text("Replace the old one").click()
    page.get_by_label("Remove metadata from images").check()
    page.get_by_label("Make images smaller").check()
    page.get_by_label("Longest side").fill("150")
    page.get_by_label("Image format").select_option("FORMAT_WEBP")
    page.get_by_label("Quality").fill("60")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("is ready: 5 examples, 5 images.")).to_be_visible(timeout=60_000)
    shown = {
        each.example_id: (each.images[0].format, each.images[0].width_px)
        for each in visit.stack.client().list_examples("goes-on/v2")
    }
    assert shown == {f"r{n}": ("JPEG", 300) if n < 2 else ("WEBP", 150) for n in range(5)}
    # That the dataset exists is on the browser's console too.
    visit.complaints[:] = [text for text in visit.complaints if "409" not in text]


def test_formats_that_are_switched_off_say_why(visit: Visit) -> None:
    reason = "Vision training is switched off here (ENABLE_VISION_TRAINING=false)."

    def switch_off(route: Route, key: str) -> None:
        found = route.fetch().json()
        route.fulfill(json={key: [row | {"unavailableReason": reason} for row in found[key]]})

    # This stack trains on pictures: the reasons are the test's.
    visit.page.route("**/v1/formats", lambda route: switch_off(route, "formats"))
    visit.page.route("**/v1/modelFamilies", lambda route: switch_off(route, "families"))
    page = visit.open("/datasets/import")
    expect(page.get_by_text(f"{reason} Likewise")).to_be_visible()
    expect(page.get_by_text("switched off:").first).to_be_visible()
    page = visit.open("/jobs/new")
    expect(page.get_by_text(reason).first).to_be_visible()  # and beside each model


def test_a_template_can_be_downloaded_and_imports_as_it_is(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("/datasets/import")
    page.get_by_text("llava", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download a template of llava").click()
    download.value.save_as(tmp_path / download.value.suggested_filename)
    page = visit.import_archive(tmp_path / "llava-template.zip")
    expect(page.get_by_text(re.compile("is ready: "))).to_be_visible(timeout=60_000)


def test_an_upload_goes_on_after_a_reload_without_the_parts_that_arrived(
    visit: Visit, tmp_path: Path
) -> None:
    archive = tmp_path / "Interrupted.tar"
    build_large(archive)
    page = visit.page
    page.on("dialog", lambda dialog: dialog.accept())
    put: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PUT":
            put.append(part_of(request))

    page.route(re.compile("partNumber=2"), lambda _route: None)  # never answered
    page.on("requestfinished", note)
    visit.open("/datasets/import")
    page.get_by_label("Files to import").set_input_files(archive)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_label("Upload", exact=True)).to_be_visible(timeout=60_000)
    page.wait_for_timeout(100)
    while not (set(put) >= {1, 3}):
        page.wait_for_timeout(100)
    page.reload()
    page.unroute(re.compile("partNumber=2"))
    before = list(put)
    put.clear()
    expect(page.get_by_text("Broken off")).to_be_visible()
    page.get_by_label("Continue Interrupted.tar").set_input_files(tmp_path / "packed.tar")
    expect(page.get_by_text("This is not what was being sent")).to_be_visible()
    page.get_by_label("Continue Interrupted.tar").set_input_files(archive)
    expect(page.get_by_text(f"is ready: {BITMAPS} examples, {BITMAPS} images.")).to_be_visible(
        timeout=120_000
    )
    assert 2 in put
    assert not set(put) & set(before)
    # What the page before was not answered is asked for again, perhaps while it is still at work.
    visit.complaints[:] = [text for text in visit.complaints if "409" not in text]
    visit.open("/datasets/import")
    expect(page.get_by_role("heading", name="Import data")).to_be_visible()
    expect(page.get_by_text("Broken off")).to_have_count(0)


def test_a_broken_off_import_can_be_given_up(visit: Visit, tmp_path: Path) -> None:
    digits.build(tmp_path / "Unwanted.tar.gz", limit=SCANS)
    page = visit.page
    page.on("dialog", lambda dialog: dialog.accept())
    page.route(re.compile("X-Amz-Signature"), lambda _route: None)
    visit.open("/datasets/import")
    page.get_by_label("Files to import").set_input_files(tmp_path / "Unwanted.tar.gz")
    with page.expect_request(re.compile("X-Amz-Signature")):
        page.get_by_role("button", name="Import", exact=True).click()
    page.reload()
    with page.expect_response(re.compile("uploads/.*:abort")) as answer:
        page.get_by_role("button", name="Give it up").click()
    assert answer.value.ok
    expect(page.get_by_text("Broken off")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Import data")).to_be_visible()
    expect(page.get_by_text("Broken off")).to_have_count(0)


def part_of(request: Request) -> int:
    found = re.search(r"partNumber=(\d+)", request.url)
    assert found
    return int(found[1])


def build_large(path: Path) -> None:
    """Bitmaps of noise, each of another colour first, so that none repeats."""
    noise = random.Random(6).randbytes(3 * SIDE_PX * SIDE_PX)
    head = struct.pack("<2sIHHI", b"BM", 54 + len(noise), 0, 0, 54)
    head += struct.pack("<IiiHHIIiiII", 40, SIDE_PX, SIDE_PX, 1, 24, 0, len(noise), 0, 0, 0, 0)
    records = [
        {"id": str(number), "image": f"{number}.bmp", "conversations": turns(number)}
        for number in range(BITMAPS)
    ]
    with tarfile.open(path, "w") as archive:
        lines = "".join(json.dumps(record) + "\n" for record in records)
        digits.add(archive, "train.jsonl", lines.encode())
        for number in range(BITMAPS):
            digits.add(archive, f"{number}.bmp", head + noise[number:] + noise[:number])
    (path.parent / "packed.tar").write_bytes(b"another file")


def turns(number: int) -> list[dict[str, str]]:
    return [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": f"Number {number}"}]
