"""Losses of open_clip and colpali-engine, from the folder into which `make test-parity` installs them.

Both are installed without what they depend on: one brings timm, the other asks for older torch and peft.
Their losses need torch alone, so that each is loaded as a module by itself.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "build" / "peers"
needed = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="make test-parity installs open_clip and colpali-engine"
)


def open_clip() -> Any:
    """open_clip's module of losses."""
    return _load("open_clip/loss.py")


def colpali_engine() -> Any:
    """colpali-engine's module of late interaction losses, which takes MaxSim from the package."""
    for package in ("colpali_engine", "colpali_engine.utils"):
        shell = ModuleType(package)
        shell.__path__ = [str(FOLDER / package.replace(".", "/"))]
        sys.modules.setdefault(package, shell)
    return _load("colpali_engine/loss/late_interaction_losses.py")


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), FOLDER / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
