"""The web app on a running stack, in a real browser: import, look, train, watch, take the result away."""

import json
import re
import tarfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect
from visiontune import uploads

from examples import digits
from tests.support import web
from tests.support.stack import Stack
from tests.support.web import NARROW, WIDE, Visit

SCANS = 200
# Enough steps to see curves; whether the model learns is the demo's business. It stops early, at its second
# evaluation, since no progress is enough for it.
STEPS, STOPPED, EVALUATED_EVERY = 6, 4, 2
JOB_TIMEOUT_MS = 150_000

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def version(chromium: Browser, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a version's page. Its data came in through the import page."""
    archive = tmp_path_factory.mktemp("archive") / "Digits 1.tar.gz"
    digits.build(archive, limit=SCANS)
    with web.visit(chromium, stack) as visit:
        page = visit.import_archive(archive)
        expect(page.get_by_text(f"is ready: {SCANS} examples, {SCANS} images.")).to_be_visible(timeout=60_000)
        page.get_by_role("link", name="Look at it").click()
        expect(page.get_by_role("heading", name="digits-1 v1")).to_be_visible()
        return re.sub(r"^https?://[^/]+", "", page.url)


@pytest.fixture(scope="module")
def job(chromium: Browser, stack: Stack, version: str) -> str:
    """Path of a job's page. It was started by the form and watched until it succeeded."""
    with web.visit(chromium, stack) as visit:
        page = visit.open(version)
        page.get_by_role("link", name="Train on this version").click()
        expect(page.get_by_text("Ready to start")).to_be_visible()
        page.get_by_text("Advanced").click()
        page.get_by_label("Most steps").fill(str(STEPS))
        page.get_by_label("Evaluate every … steps").fill(str(EVALUATED_EVERY))
        page.get_by_label("Stop early after").fill("1")
        page.get_by_label("Least progress").fill("1000")
        page.get_by_label("Name of the job").fill("A short one")
        page.get_by_role("button", name="Start training").click()
        page.wait_for_url(re.compile("/jobs/(?!new)"))
        expect(page.get_by_role("heading", name="A short one")).to_be_visible()
        expect(page.get_by_text("Succeeded", exact=True)).to_be_visible(timeout=JOB_TIMEOUT_MS)
        return re.sub(r"^https?://[^/]+", "", page.url)


def test_a_wrong_key_is_refused_and_the_right_one_opens_the_datasets(chromium: Browser, stack: Stack) -> None:
    with web.visit(chromium, stack, signed_in=False) as visit:
        page = visit.open("/")
        page.get_by_label("API key").fill("vt_nobody_nothing")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("No such key")).to_be_visible()
        # The browser itself reports the refused call; nothing else may be there.
        assert [text for text in visit.complaints if "401" not in text] == []
        visit.complaints.clear()
        page.get_by_label("API key").fill(stack.api_key())
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Datasets")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_the_reference_of_the_api_needs_no_key(chromium: Browser, stack: Stack) -> None:
    with web.visit(chromium, stack, signed_in=False) as visit:
        page = visit.open("/docs#CreateTrainingJob")
        expect(page.get_by_text("/v1/projects/{project}/trainingJobs", exact=True).first).to_be_visible()
        expect(page.get_by_text("Creates a job in state QUEUED")).to_be_visible()
        page.get_by_label("Search the calls").fill("import archive")
        expect(page.locator("details").filter(has_text="ImportVersion")).to_be_visible()
        expect(page.locator("details").filter(has_text="GetCaller")).to_have_count(0)


def test_the_grid_shows_every_example_and_an_example_has_an_address(visit: Visit, version: str) -> None:
    page = visit.open(version)
    expect(page.locator('[data-index="0"] img')).to_be_visible()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.locator(f'[data-index="{SCANS - 1}"] img')).to_be_visible()
    page.evaluate("window.scrollTo(0, 0)")
    page.locator('[data-index="0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_text("assistant")).to_be_visible()
    expect(drawer.locator("img")).to_be_visible()
    assert page.url.endswith("?at=1")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**?at=2")
    page.reload()
    expect(page.get_by_role("dialog").get_by_text("Example 3")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_split_shows_its_examples_only(visit: Visit, version: str) -> None:
    page = visit.open(f"{version}?split=validation")
    total = page.get_by_role("group", name=re.compile(r"\d+ thumbnails"))
    expect(total).to_be_visible()
    count = int((total.get_attribute("aria-label") or "").split()[0])
    assert 0 < count < SCANS
    page.locator('[data-index="0"]').click()
    expect(page.get_by_role("dialog").get_by_text("validation")).to_be_visible()


def test_statistics_and_report_say_what_was_imported(visit: Visit, version: str) -> None:
    page = visit.open(f"{version}?tab=statistics")
    expect(page.get_by_role("list", name="Most frequent answers").get_by_role("listitem")).to_have_count(10)
    expect(page.get_by_role("img", name=re.compile("^Image width"))).to_be_visible()
    page.get_by_role("tab", name="Report").click()
    expect(page.get_by_text("Report on Digits 1.tar.gz")).to_be_visible()
    expect(page.get_by_text(str(SCANS), exact=True).first).to_be_visible()


def test_a_bad_archive_gets_a_report_with_file_line_and_remedy(visit: Visit, tmp_path: Path) -> None:
    record = {
        "id": "1",
        "image": "img/absent.png",
        "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Nothing"}],
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(record) + "\n")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "train.jsonl", "train.jsonl")
    page = visit.import_archive(tmp_path / "bad.tar.gz")
    expect(page.get_by_text("Report on bad.tar.gz")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("region", name="image-missing")).to_contain_text("train.jsonl:1")
    expect(page.get_by_role("alert")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all as JSONL").click()
    download.value.save_as(tmp_path / "report.jsonl")
    lines = (tmp_path / "report.jsonl").read_text().splitlines()
    assert "image-missing" in [json.loads(line)["rule"] for line in lines]
    page.get_by_role("link", name="bad", exact=True).click()
    expect(page.get_by_role("heading", name="No version yet")).to_be_visible()


def test_a_report_is_followed_while_it_grows(visit: Visit, version: str) -> None:
    """The first answer is that of an import under way; the page must ask again."""
    asked: list[str] = []

    def grow(route: Route) -> None:
        report = route.fetch().json()
        asked.append(route.request.url)
        if len(asked) == 1:
            report |= {"inProgress": True, "recordCount": "7", "rules": []}
        route.fulfill(json=report)

    visit.page.route("**/v1/**/validationReports/*", grow)
    page = visit.open(f"{version}?tab=report")
    expect(page.get_by_text("grows while the import runs")).to_be_visible()
    expect(page.get_by_text("grows while the import runs")).to_have_count(0)
    expect(page.get_by_text(str(SCANS), exact=True).first).to_be_visible()


def test_a_file_that_is_no_archive_is_refused_in_words(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "noise.zip").write_bytes(b"not an archive" * 100)
    page = visit.import_archive(tmp_path / "noise.zip")
    expect(page.get_by_role("alert")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("heading", name=re.compile("^Report on noise.zip"))).to_be_visible()


def test_a_learning_rate_of_zero_or_text_cannot_be_started(visit: Visit, version: str) -> None:
    page = visit.open(version)
    page.get_by_role("link", name="Train on this version").click()
    expect(page.get_by_text("Ready to start")).to_be_visible()
    start = page.get_by_role("button", name="Start training")
    rate = page.get_by_label("Learning rate")
    rate.fill("fast")
    expect(page.get_by_text('"fast" is not a number.')).to_be_visible()
    expect(start).to_be_disabled()
    rate.fill("0")
    expect(rate).to_have_attribute("aria-invalid", "true")
    expect(start).to_be_disabled()
    # A refused request is on the browser's console too.
    visit.complaints[:] = [text for text in visit.complaints if "400" not in text]
    rate.fill("0.001")
    expect(page.get_by_text("Ready to start")).to_be_visible()
    expect(start).to_be_enabled()


def test_an_accelerator_is_chosen_where_the_machine_has_one(visit: Visit, version: str) -> None:
    page = visit.open("/jobs/new")
    page.get_by_role("combobox", name="Accelerator").click()
    page.get_by_role("option", name="nvidia-l4").click()
    expect(page.get_by_text("24 GiB each, up to 1 on a node")).to_be_visible()
    page.get_by_label("How many").fill("2")
    expect(page.get_by_text("Jobs run on one machine here")).to_be_visible()
    page.get_by_label("How many").fill("")
    expect(page.get_by_text("1 × nvidia-l4")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


@pytest.mark.slow
def test_pictures_are_shown_as_training_will_vary_them(visit: Visit, version: str) -> None:
    page = visit.open(version)
    page.get_by_role("link", name="Train on this version").click()
    page.get_by_role("radiogroup", name="Vary the pictures").get_by_text("Strong").click()
    shown = page.get_by_role("group", name="Example 1", exact=True).locator("img")
    expect(shown).to_have_count(5, timeout=120_000)  # as it is, and in four epochs
    pictures = shown.evaluate_all("images => images.map((image) => image.src)")
    assert len(set(pictures)) == len(pictures)
    expect(page.get_by_text("RandomAffine")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


def test_a_limit_that_is_reached_is_told(visit: Visit, stack: Stack, tmp_path: Path) -> None:
    client = stack.client()
    now = client.get_quota()
    stack.cli("storage", "quota", "--set", f"objects={now.object_count + now.pending_upload_count + 1}")
    try:
        (tmp_path / "small.bin").write_bytes(b"some bytes")
        uploads.upload(client, tmp_path / "small.bin")
        page = visit.open("/storage")
        expect(page.get_by_role("region", name="Limits")).to_contain_text("Objects")
        alerts = page.get_by_role("table", name="Alerts")
        expect(alerts.get_by_role("row").filter(has_text="Objects").filter(has_text="100 %")).to_be_visible()
        expect(page.get_by_role("table", name="Usage")).to_contain_text("Upload")
        expect(page.get_by_role("region", name="Sent by the object store")).to_contain_text("In 30 days")
        page.get_by_role("button", name="Count what can go").click()
        expect(page.get_by_role("table", name="Clean-up")).to_contain_text("Bytes that belong to nothing")
        expect(page.get_by_text("Nothing was removed.")).to_be_visible()
        page.get_by_role("button", name="Remove it").click()
        expect(page.get_by_text(re.compile("^Freed "))).to_be_visible()
    finally:
        stack.cli("storage", "quota", "--set", "objects=default")


def test_a_finished_job_shows_curves_samples_events_logs_and_files(visit: Visit, job: str) -> None:
    page = visit.open(job)
    expect(page.get_by_role("img", name=re.compile(r"^Loss: training from .* at step \d+"))).to_be_visible()
    expect(
        page.get_by_text(f"Stopped early at step {STOPPED} of {STEPS}: loss made no progress")
    ).to_be_visible()
    best = re.compile(rf"^Loss .* at step {STOPPED}, 1 evaluation since without progress$")
    expect(page.get_by_text(best)).to_be_visible()
    page.get_by_role("tab", name="Samples").click()
    expect(page.get_by_text("expected").first).to_be_visible()
    expect(page.locator("main li img").first).to_be_visible()
    slider = page.get_by_role("slider", name="Answers at step")
    expect(slider).to_have_attribute("aria-valuetext", f"step {STOPPED}")
    slider.press("Home")
    expect(page.get_by_text("at step 0").first).to_be_visible()
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_text("QUEUED", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_role("log")).to_be_visible()
    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_text("(best)")).to_have_count(1)
    link = page.get_by_role("link", name="config.json", exact=True)
    expect(link).to_be_visible()
    answer = page.request.get(link.get_attribute("href") or "")
    assert "model_type" in answer.json()


def test_a_result_becomes_a_model_that_the_next_job_can_start_from(visit: Visit, job: str) -> None:
    page = visit.open(job)
    page.get_by_role("button", name="Register as a model").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("short-reader")
    dialog.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", name="short-reader")).to_be_visible()
    page.get_by_role("link", name="Train on top").click()
    expect(page.get_by_role("combobox", name="Base model")).to_have_value("short-reader")
    expect(page.get_by_text("Ready to start")).to_be_visible()


def test_a_model_tells_where_it_comes_from_and_how_it_is_used(
    visit: Visit, stack: Stack, version: str, job: str
) -> None:
    stack.client().register_model("told", f"projects/default/trainingJobs/{job.rpartition('/')[2]}")
    page = visit.open("/models?base=presets/tiny-clip")
    expect(page.get_by_role("heading", name="No such models")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("table", name="Presets")).to_contain_text("tiny-clip")
    page.get_by_role("combobox", name="Learnt from").click()
    page.get_by_role("option", name="digits-1", exact=True).click()
    expect(page.get_by_role("table", name="Presets")).to_have_count(0)
    page.get_by_role("table", name="Registered models").get_by_role("link", name="told", exact=True).click()
    lineage = page.get_by_role("list", name="Lineage")
    expect(lineage.get_by_role("link", name="digits-1 v1")).to_have_attribute("href", version)
    expect(lineage.get_by_role("link", name=job.rpartition("/")[2])).to_have_attribute("href", job)
    expect(lineage.get_by_role("listitem").last).to_contain_text("preset tiny-")
    expect(page.get_by_label("Load it, in that folder")).to_contain_text("from_pretrained")
    expect(page.get_by_label("Fetch all files")).to_have_text("visiontune models download told --to told")
    link = page.get_by_role("link", name="config.json", exact=True)
    assert "model_type" in page.request.get(link.get_attribute("href") or "").json()
    assert not visit.overflows()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    expect(page.get_by_role("link", name="told", exact=True)).to_have_count(0)


def test_a_job_can_be_paused_resumed_and_cancelled(visit: Visit, version: str) -> None:
    page = visit.open(version)
    page.get_by_role("link", name="Train on this version").click()
    page.get_by_label("Epochs").fill("500")
    expect(page.get_by_text("Ready to start")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible(timeout=90_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible(timeout=90_000)


def test_a_cut_stream_is_taken_up_where_it_was(visit: Visit, job: str) -> None:
    """The first connection is cut after half an event; the second must name the last whole one."""
    resumed: list[str | None] = []

    def cut_once(route: Route) -> None:
        resumed.append(route.request.headers.get("last-event-id"))
        if len(resumed) > 1:
            route.continue_()
            return
        body = route.fetch().text()
        events = body.split("\n\n")
        route.fulfill(
            content_type="text/event-stream", body="\n\n".join(events[:5]) + "\n\n" + events[5][:20]
        )

    visit.page.route("**/v1/**:watch", cut_once)
    page = visit.open(job)
    expect(page.get_by_text("Succeeded", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_text("QUEUED", exact=True)).to_have_count(1)
    assert resumed[0] is None
    assert resumed[1]


def test_a_silent_server_is_said_and_forgotten_when_it_answers_again(visit: Visit, version: str) -> None:
    page = visit.open(version)
    expect(page.locator('[data-index="0"] img')).to_be_visible()
    page.context.set_offline(True)
    page.get_by_role("link", name="Datasets", exact=True).first.click()
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("The server does not answer")).to_have_count(0, timeout=20_000)
    expect(page.get_by_role("table", name="Datasets")).to_be_visible()
    visit.complaints[:] = [text for text in visit.complaints if "ERR_INTERNET_DISCONNECTED" not in text]


@pytest.mark.parametrize(
    ("dark", "size"),
    [
        pytest.param(True, NARROW, id="dark-narrow"),
        pytest.param(False, WIDE, id="light-wide", marks=pytest.mark.slow),
        pytest.param(False, NARROW, id="light-narrow", marks=pytest.mark.slow),
        pytest.param(True, WIDE, id="dark-wide", marks=pytest.mark.slow),
    ],
)
def test_every_page_fits_and_breaks_no_rule(
    chromium: Browser, stack: Stack, version: str, job: str, dark: bool, size: tuple[int, int]
) -> None:
    dataset = version.rsplit("/versions/", 1)[0]
    pages = {
        "/datasets": "Datasets",
        "/datasets/import": "Import data",
        dataset: "Versions",
        version: "digits-1 v1",
        f"{version}?at=3": "digits-1 v1",
        f"{version}?tab=statistics": "Distributions",
        f"{version}?tab=report": "Report on",
        f"{version}?tab=history": "Where it comes from",
        "/jobs": "Training jobs",
        "/jobs/new": "Start a job",
        job: "A short one",
        f"{job}?tab=samples": "A short one",
        f"{job}?tab=logs": "A short one",
        f"{job}?tab=files": "Checkpoints",
        "/models": "Models",
        "/storage": "Limits",
        "/docs": "API reference",
        "/nowhere": "There is no such page",
    }
    with web.visit(chromium, stack, dark=dark, size=size) as visit:
        for path, heading in pages.items():
            page = visit.open(path)
            expect(page.get_by_role("heading", name=heading, include_hidden=True).first).to_be_visible()
            expect(page.get_by_label(re.compile("^Loading "))).to_have_count(0)
            assert not visit.overflows(), path
        scheme = page.evaluate("document.documentElement.dataset.mantineColorScheme")
        assert scheme == ("dark" if dark else "light")
