"""Running stacks, and a browser, for the tests that leave nothing but data; others start their own."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser
from visiontune_stack.ports import Ports

from tests.support import otlp, proxies, warm_worker, web
from tests.support import stack as stacks
from tests.support.otlp import Collector
from tests.support.proxies import Wire
from tests.support.stack import Stack
from tests.support.web import Visit

PART_BYTES = 5 * 1024 * 1024
PARTS = {
    "VISIONTUNE_STORAGE_SINGLE_PART_LIMIT_BYTES": str(PART_BYTES),
    "VISIONTUNE_STORAGE_PART_SIZE_BYTES": str(PART_BYTES),
}


@dataclass(frozen=True)
class Watched:
    """A stack whose spans are collected, and whose clients reach the object store by a wire that can be cut.

    Uploads of more than PART_BYTES are cut into parts, as with the other stack.
    """

    stack: Stack
    wire: Wire
    collected: Collector


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own for each process that runs tests. It only claims to have an accelerator."""
    claimed = {"VISIONTUNE_TRAINER_LOCAL_ACCELERATOR": "nvidia-l4:24"}
    made = stacks.make(
        tmp_path_factory.mktemp("stack") / "home", **warm_worker.variables(), **PARTS, **claimed
    )
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Another stack, for what looks at it from within."""
    with proxies.wire() as wire, otlp.collector() as collected:
        made = stacks.make(
            tmp_path_factory.mktemp("watched") / "home",
            VISIONTUNE_OTLP_ENDPOINT=collected.endpoint,
            VISIONTUNE_STORAGE_S3_PUBLIC_ENDPOINT=wire.endpoint,
            **warm_worker.variables(),
            **PARTS,
        )
        wire.target_port = Ports(made.port).s3
        made.up()
        yield Watched(made, wire, collected)
        made.down()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with web.browser() as made:
        yield made


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visit]:
    with web.visit(chromium, stack) as made:
        yield made
