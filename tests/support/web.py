"""Chromium on the web app, watching for what no user would report: violations and console errors."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.support.stack import Stack

# Those of Debian, the one without windows first: it takes half the time. Without them Playwright's own is
# run, if there is one, or its message says how to get it.
CHROMIUMS = ("chromium-headless-shell", "chromium")
# A page may wait for a core that trains at the moment; what is wrong is wrong after this too.
EXPECT_MS = 20_000
# Without these the browser looks for its maker's hosts at every start.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE = (1280, 860)
NARROW = (390, 844)
REMEMBERED = "cookies,file_systems,indexeddb,local_storage,service_workers,cache_storage"
# A violation is said on the console anyway, but not in so many words.
WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


@dataclass
class Visit:
    """One user's tab, signed in, and what the browser complained about."""

    stack: Stack
    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Goes to `path` of the app."""
        self.page.goto(f"{self.stack.url}{path}")
        return self.page

    def import_archive(self, archive: Path) -> Page:
        """Takes an archive through the import page, and answers with the page of the import."""
        page = self.open("/datasets/import")
        page.get_by_label("Files to import").set_input_files(archive)
        page.get_by_role("button", name="Import", exact=True).click()
        page.wait_for_url("**/imports/*", timeout=60_000)
        return page

    def note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def overflows(self) -> bool:
        """True when the page is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, CHROMIUMS)), None)
        chromium = playwright.chromium.launch(executable_path=installed, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


@contextlib.contextmanager
def visit(
    chromium: Browser,
    stack: Stack,
    *,
    dark: bool = False,
    size: tuple[int, int] = WIDE,
    signed_in: bool = True,
) -> Iterator[Visit]:
    """A fresh tab; leaving it asserts that the browser had nothing to complain about.

    The browser remembers nothing of the tab before but the files of the app, which take it a second to read.
    """
    context = _context(chromium, "dark" if dark else "light", size, stack.api_key() if signed_in else "")
    made = Visit(stack, context.new_page())
    context.new_cdp_session(made.page).send(
        "Storage.clearDataForOrigin", {"origin": stack.url, "storageTypes": REMEMBERED}
    )
    made.page.on("console", made.note)
    made.page.on("pageerror", lambda error: made.complaints.append(f"{made.page.url}: {error}"))
    try:
        yield made
        assert not made.complaints, made.complaints
    finally:
        made.page.close()
        context.set_offline(False)


@cache
def _context(
    chromium: Browser, scheme: Literal["dark", "light"], size: tuple[int, int], key: str
) -> BrowserContext:
    """A window of that browser, until it is closed."""
    width, height = size
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    context.add_init_script(WATCH_POLICY)
    if key:
        sign_in(context, key)
    return context


def sign_in(context: BrowserContext, key: str) -> None:
    """Puts the key where signing in puts it."""
    context.add_init_script(f"sessionStorage.setItem('visiontune.key', {key!r})")
