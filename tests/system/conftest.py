"""One running stack, and a browser, for the tests that leave nothing but data; others start their own."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support import stack as stacks
from tests.support import web
from tests.support.stack import Stack
from tests.support.web import Visit


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own for each process that runs tests."""
    made = stacks.make(tmp_path_factory.mktemp("stack") / "home")
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with web.browser() as made:
        yield made


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visit]:
    with web.visit(chromium, stack) as made:
        yield made
