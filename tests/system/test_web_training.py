"""The pages of training on a running stack: the form's own words, copies, comparison, the log searched."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from visiontune.trainer.v1 import trainer_pb2

from examples import digits
from tests.support import web
from tests.support.stack import Stack
from tests.support.web import Visit

JOB_TIMEOUT_S = 280

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def version(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a version of a few scans."""
    archive = tmp_path_factory.mktemp("archive") / "scans.tar.gz"
    digits.build(archive, limit=40)
    stack.cli("dataset", "import", str(archive), "--dataset", "web-scans")
    return "projects/default/datasets/web-scans/versions/v1"


def paste(stack: Stack, *command: str) -> str:
    """What is printed by a command that was copied from a page."""
    programs = Path(sys.executable).parent
    environment = stack.environment | {
        "PATH": f"{programs}:{stack.environment['PATH']}",
        "VISIONTUNE_API_KEY": stack.api_key(),
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=JOB_TIMEOUT_S
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def form(visit: Visit, version: str) -> Page:
    """A form that could be sent as it is."""
    return visit.open(f"/jobs/new?version={version}&base=preset:tiny-llava")


def filled_form(visit: Visit, version: str) -> Page:
    """A form with what has an option of the command, and what has none."""
    page = form(visit, version)
    page.get_by_text("Advanced").click()
    page.get_by_label("Most steps").fill("2")
    page.get_by_label("Warm-up share").fill("0.5")
    page.get_by_label("Name of the job").fill("It's pasted")
    page.get_by_role("combobox", name="Vision tower").click()
    page.get_by_role("option", name="Freeze").click()
    page.get_by_role("combobox", name="Batches").click()
    page.get_by_role("option", name="Length grouped").click()
    page.get_by_role("combobox", name="Features of the tower").click()
    page.get_by_role("option", name="Off").click()
    page.get_by_label("Save every … steps").fill("1")
    page.get_by_label("Longest time").fill("1.5")
    expect(page.get_by_text("Advanced · 7 set")).to_be_visible()
    page.get_by_text("The same job from a terminal").click()
    expect(page.get_by_text("Ready to start")).to_be_visible()
    return page


@pytest.fixture(scope="module")
def job(chromium: Browser, stack: Stack, version: str) -> str:
    """Path of the page of a job that ran by the command that the form shows."""
    with web.visit(chromium, stack) as visit:
        command = filled_form(visit, version).get_by_label("In a terminal").inner_text()
    assert "--vision-tower freeze --batching length-grouped" in command
    assert "warmup_ratio" in command
    paste(stack, "bash", "-c", command)
    done = next(job for job in stack.client().list_jobs() if job.display_name == "It's pasted")
    assert done.spec.hyperparameters.warmup_ratio == 0.5
    assert done.spec.loading.feature_cache == trainer_pb2.Loading.FEATURE_CACHE_OFF
    assert done.spec.checkpointing.every_steps == 1
    assert done.spec.resources.max_duration.ToSeconds() == 5400
    return f"/jobs/{done.name.rpartition('/')[2]}"


def test_the_python_of_the_form_starts_the_same_job(
    visit: Visit, stack: Stack, version: str, job: str
) -> None:
    program = filled_form(visit, version).get_by_label("In Python").inner_text()
    name = paste(stack, sys.executable, "-c", program).strip()
    client = stack.client()
    started, pasted = client.get_job(name), client.get_job(job.rpartition("/")[2])
    client.cancel_job(name)
    assert started.display_name == pasted.display_name
    assert started.resolved_spec == pasted.resolved_spec

    page = visit.open("/jobs")
    boxes = page.get_by_role("checkbox", name="Compare It's pasted")
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    page.get_by_role("link", name="Compare 2 jobs").click()
    expect(page.get_by_role("img", name=re.compile("^Loss, training: .* at step 2"))).to_be_visible()
    expect(page.get_by_text("They were asked for the same.")).to_be_visible()
    assert not visit.overflows()


def test_the_log_is_searched(visit: Visit, job: str) -> None:
    page = visit.open(f"{job}?tab=logs")
    lines = page.get_by_role("log").locator("> div")
    expect(lines.first).to_be_visible()
    before = lines.count()
    page.get_by_label("Search the log").fill("no line says this")
    expect(lines).to_have_count(0)
    expect(page.get_by_text(f"0 of {before} lines")).to_be_visible()
    whole = page.get_by_role("link", name="Whole log of attempt 1")
    logged = page.request.get(whole.get_attribute("href") or "").text()
    assert len(logged.splitlines()) >= before


def test_a_copy_begins_with_what_the_job_asked_for(visit: Visit, job: str) -> None:
    page = visit.open(job)
    page.get_by_role("link", name="Copy", exact=True).click()
    expect(page.get_by_role("heading", name="Start a job")).to_be_visible()
    page.get_by_text("Advanced · 7 set").click()
    expect(page.get_by_label("Most steps")).to_have_value("2")
    expect(page.get_by_role("combobox", name="Vision tower")).to_have_value("Freeze")
    expect(page.get_by_text("Ready to start")).to_be_visible()


def test_a_job_goes_on_from_one_that_succeeded_with_its_choices(visit: Visit, job: str) -> None:
    page = visit.open(job)
    page.get_by_role("link", name="Go on", exact=True).click()
    expect(page.get_by_role("combobox", name="Go on from a job")).to_have_value(re.compile("^It's pasted"))
    # What is wrong is unfolded: the earlier job has used up its steps.
    expect(page.get_by_text("this job would end at step 2")).to_be_visible()
    steps = page.get_by_label("Most steps")
    expect(steps).to_have_value("2")
    steps.fill("4")
    expect(page.get_by_text("Ready to start")).to_be_visible()
    page.get_by_text("The same job from a terminal").click()
    expect(page.get_by_label("In a terminal")).to_contain_text("resume_from")


def test_a_model_that_does_not_take_the_data_says_why(visit: Visit, version: str) -> None:
    page = visit.open(f"/jobs/new?version={version}")
    page.get_by_role("combobox", name="Base model").click()
    refused = page.get_by_role("option", name=re.compile("^tiny-clip"))
    expect(refused).to_contain_text("this data has conversations with images")
    expect(refused).to_have_attribute("data-combobox-disabled", "true")


def test_what_a_job_needs_is_shown_before_it_starts(visit: Visit, version: str) -> None:
    needed = str(20 * 2**30)
    smaller = {"field": "hyperparameters.batch_size", "value": "1"}
    fits = [
        {"accelerator": "nvidia-l4", "neededBytes": needed, "fits": True, "duration": "7500s", "cost": 1.5},
        {"accelerator": "nvidia-t4", "neededBytes": needed, "fits": False, "changes": [smaller]},
    ]

    def add_accelerators(route: Route) -> None:
        """This stack has none: they are the test's, the rest of the estimate is the server's."""
        checked = route.fetch().json()
        assert int(checked["estimate"]["memory"]["peakBytes"]) > 0
        checked["estimate"]["fits"] = fits
        route.fulfill(json=checked)

    visit.page.route("**/trainingJobs:validate", add_accelerators)
    page = form(visit, version)
    needs = page.get_by_role("region", name="What it needs")
    expect(needs).to_contain_text("Parameters")
    expect(needs.get_by_role("row", name=re.compile("nvidia-l4 yes"))).to_contain_text("2 h 5 min")
    expect(needs.get_by_role("row", name=re.compile("nvidia-t4 no"))).to_contain_text("batch_size: 1")


@pytest.mark.slow
def test_examples_are_shown_as_the_model_gets_them(visit: Visit, version: str) -> None:
    page = form(visit, version)
    page.get_by_text("Examples as the model gets them").click()
    shown = page.get_by_role("region", name=re.compile("^Example "))
    expect(shown).to_have_count(3, timeout=120_000)
    tokens = shown.first.get_by_label("Tokens")
    expect(tokens.locator("mark").first).to_contain_text("<image>×")
    counted = re.compile(r"Conversation: \d+ tokens, \d+ of images, \d+ trained on")
    expect(shown.first).to_contain_text(counted)
    page.get_by_role("button", name="Other examples").click()
    expect(page.get_by_role("region", name=re.compile("^Example ")).first).to_contain_text("Example 1")
