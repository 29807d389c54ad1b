"""The steps of the container file, as far as they go without containers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.kustomize import ROOT

pytestmark = pytest.mark.slow

IGNORED = shutil.ignore_patterns("__pycache__", "node_modules")


def steps(stage: str) -> list[str]:
    """The commands that one stage runs."""
    text = (ROOT / "k8s" / "images" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    (body,) = (each for each in text.split("\nFROM ") if f" AS {stage}\n" in f"{each}\n")
    return [line.removeprefix("RUN ") for line in body.splitlines() if line.startswith("RUN ")]


def run(command: str, folder: Path, program: str) -> None:
    """Runs a step with the image's own folders below `folder`."""
    here = command.replace("/opt/", f"{folder}/opt/").replace("/wheel", f"{folder}/wheel")
    own = {**os.environ, "PROGRAM": program, "UV_LINK_MODE": "copy"}
    done = subprocess.run(
        ["sh", "-ec", here], cwd=folder / "build", env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, built by the file's own command, without the web app, which `make` builds."""
    folder = tmp_path_factory.mktemp("image")
    build = folder / "build"
    build.mkdir()
    for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, build)
    for name in ("libs", "services", "gateway", "stack", "examples"):
        shutil.copytree(ROOT / name, build / name, ignore=IGNORED)
    (last,) = (each for each in steps("wheel") if "uv build" in each)
    run(last[last.index("uv build") :], folder, "")
    return folder / "wheel"


@pytest.mark.parametrize("program", ["gateway", "storage", "dataset", "trainer"])
def test_an_image_holds_what_its_program_needs_and_no_torch(
    wheel: Path, tmp_path: Path, program: str
) -> None:
    build = tmp_path / "build"
    build.mkdir()
    shutil.copytree(wheel, tmp_path / "wheel")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, build)
    for step in steps("packages"):
        run(step, tmp_path, program)
    installed = tmp_path / "opt" / "visiontune" / "bin"
    alone = {"PATH": f"{installed}:/usr/bin:/bin"}
    asked = subprocess.run(["program", "--help"], env=alone, capture_output=True, text=True, check=True)
    assert "await-migration" in asked.stdout
    imports = f"import visiontune_{program}.app, importlib.util; print(importlib.util.find_spec('torch'))"
    loaded = subprocess.run(
        ["python", "-c", imports], env=alone, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "None\n"
