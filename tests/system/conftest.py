"""One running stack for the tests that leave nothing in it but data; the others start their own."""

from collections.abc import Iterator

import pytest

from tests.support import stack as stacks
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own for each process that runs tests."""
    made = stacks.make(tmp_path_factory.mktemp("stack") / "home")
    made.up()
    yield made
    made.down()
