"""The grid of a version with as many images as a dataset may have."""

import statistics
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support import pictures
from tests.support.stack import Stack
from tests.support.web import Visit

COUNT = 10_000
MOST_MEDIAN_FRAME_MS = 50

# Scrolls as a wheel does, a notch a frame, and notes how long each frame took.
SCROLL = """
(seconds) => new Promise((resolve) => {
  const frames = [];
  const begin = performance.now();
  let last = begin;
  const step = (now) => {
    frames.push(now - last);
    last = now;
    window.scrollBy(0, 120);
    if (now - begin < seconds * 1000) requestAnimationFrame(step);
    else resolve(frames.slice(1));
  };
  requestAnimationFrame(step);
})
"""

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def test_ten_thousand_images_scroll_smoothly(visit: Visit, stack: Stack, tmp_path: Path) -> None:
    pictures.build(tmp_path / "many.tar", COUNT)
    stack.cli("dataset", "import", str(tmp_path / "many.tar"), "--dataset", "many")
    page = visit.open("/datasets/many/versions/v1")
    expect(page.locator('[data-index="0"] img')).to_be_visible()
    frames = page.evaluate(SCROLL, 10)
    assert statistics.median(frames) <= MOST_MEDIAN_FRAME_MS, sorted(frames)[-20:]
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.locator(f'[data-index="{COUNT - 1}"] img')).to_be_visible()
    assert page.locator("[data-index]").count() < COUNT / 20
