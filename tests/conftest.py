"""For every test folder: fixtures of real servers, what failures log, and where and when files run."""

import gc
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadFileScheduling

from tests.support.databases import databases_go, shared_server_ends
from tests.support.proxies import dead_proxy
from tests.support.s3 import rclone, s3

__all__ = ["databases_go", "dead_proxy", "rclone", "s3", "shared_server_ends"]

# What fails on purpose is logged without the value of every local variable, which took seconds for a model's.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.set_exc_info,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
SYSTEM = "tests/system/"
# Files there that share another stack than most, the last of which ends it.
WATCHED = [f"{SYSTEM}test_{name}.py" for name in ("resume", "trace", "stack")]
# Those that start one of their own, or need none.
APART = [f"{SYSTEM}test_{name}.py" for name in ("cli_demo", "make")]
# Folders of long files come first, so that no process ends alone on one.
FIRST = (SYSTEM, "tests/chaos/", "tests/integration/", "tests/contract/", "tests/parity/")


class StacksOnce(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Hands out files as wholes, and all that share a stack together: it starts once."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if not file.startswith(SYSTEM) or file in APART:
            return file
        return "the watched stack" if file in WATCHED else "the stack"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> StacksOnce:
    return StacksOnce(config, log)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector, a tenth of the time before, need not walk it again."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the folders by FIRST; what shares the stack, the longest unit of all, is its begin."""

    def place(item: pytest.Item) -> tuple[int, bool, int]:
        file = item.nodeid.partition("::")[0]
        folder = next((n for n, each in enumerate(FIRST) if file.startswith(each)), len(FIRST))
        return folder, file in APART, WATCHED.index(file) if file in WATCHED else -1

    items.sort(key=place)
