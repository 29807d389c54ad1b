"""The commands of docs/operating.md that carry a mark, run as they stand with a kubectl of the test's."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

from tests.support.kustomize import ROOT

MANUAL = (ROOT / "docs" / "operating.md").read_text("utf-8")


def run(folder: Path, kubectl: str, *blocks: str, **variables: str) -> None:
    """Runs the marked blocks one after the other in `folder`; `kubectl` is the text of a Python program."""
    shim = folder / "kubectl"
    shim.write_text(f"#!{sys.executable}\n{kubectl}", "utf-8")
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    commands = [
        re.search(rf"<!-- run: {block} -->\n```bash\n(.*?)```", MANUAL, re.DOTALL)[1]  # type: ignore[index]
        for block in blocks
    ]
    path = [
        str(folder),
        str(Path(sys.executable).parent),
        *variables.pop("PATH", "").split(),
        os.environ["PATH"],
    ]
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=folder,
        env={**os.environ, "PATH": ":".join(path), **variables},
        input="typed\n" * 20,
        text=True,
        check=True,
        capture_output=True,
    )
