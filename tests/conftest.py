"""Fixtures that every test folder may take: real servers, one a session; environments; and what clears up."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.databases import databases_go, shared_server_ends
from tests.support.proxies import dead_proxy
from tests.support.s3 import rclone, s3

__all__ = ["databases_go", "dead_proxy", "rclone", "s3", "shared_server_ends"]

SYSTEM = "tests/system/"
# Files there that start a stack of their own, or none.
APART = {f"{SYSTEM}test_{name}.py" for name in ("cli_demo", "make", "resume", "stack", "trace")}
# Folders of long files come first, so that no process ends alone on one.
FIRST = (SYSTEM, "tests/chaos/", "tests/integration/", "tests/contract/", "tests/parity/")


class OneStack(LoadFileScheduling):
    """Hands out files as wholes, but all that share the stack of tests/system together: it starts once."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return SYSTEM if file.startswith(SYSTEM) and file not in APART else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneStack:
    return OneStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the folders by FIRST; what shares the one stack is the first of all."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        file = item.nodeid.partition("::")[0]
        folder = next((n for n, each in enumerate(FIRST) if file.startswith(each)), len(FIRST))
        return file in APART or folder > 0, folder

    items.sort(key=place)
