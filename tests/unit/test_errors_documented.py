"""Every reason that a client can see has a heading in docs/errors.md, and no heading is left over."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from visiontune_kit.errors import Failure

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
SERVERS = (
    "visiontune_kit",
    "visiontune_storage",
    "visiontune_dataset",
    "visiontune_trainer",
    "visiontune_gateway",
)


def reasons() -> set[str]:
    """Names of the leaves of the failure tree that the servers define."""
    for package in SERVERS:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if ".migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return {
        failure.__name__
        for failure in descendants(Failure)
        if failure.__module__.startswith(SERVERS)
        and failure.__module__ != "visiontune_kit.errors"
        and not failure.__name__.startswith("_")
    }


def descendants(parent: type[Failure]) -> set[type[Failure]]:
    return {leaf for child in parent.__subclasses__() for leaf in {child, *descendants(child)}}


@pytest.fixture(scope="module")
def headings() -> set[str]:
    return set(re.findall(r"^### `(\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_reason_is_explained(headings: set[str]) -> None:
    assert sorted(reasons() - headings) == []


def test_nothing_is_explained_that_does_not_exist(headings: set[str]) -> None:
    assert sorted(headings - reasons()) == []
