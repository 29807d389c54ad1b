"""Kinds of other people's controllers: their definitions, from the Go modules that publish them.

They are fetched with the control plane's programs, and kept beside these: see `build`.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A Go module of one version and content, and the files in it that define kinds."""

    module: str
    version: str
    sum: str  # as go.sum has it
    files: tuple[str, ...]


SOURCES = (
    Source(
        "sigs.k8s.io/gateway-api",
        "v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        tuple(
            f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
            for kind in ("gateways", "grpcroutes", "httproutes")
        ),
    ),
    Source(
        "github.com/cert-manager/cert-manager",
        "v1.21.2",
        "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        tuple(f"deploy/crds/cert-manager.io_{kind}.yaml" for kind in ("certificates", "clusterissuers")),
    ),
    Source(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        ("example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",),
    ),
)


class FetchError(Exception):
    """A module cannot be had, or is not what is pinned; the message says which."""


def folder(cache: Path) -> Path:
    """Where the definitions are, or will be."""
    return cache / f"crds-{hashlib.sha256(repr(SOURCES).encode()).hexdigest()[:16]}"


def fetch(cache: Path, limit_s: float) -> Path:
    """Returns the folder, filled. Raises FetchError."""
    filled = folder(cache)
    if not filled.exists():
        with tempfile.TemporaryDirectory(dir=cache) as made:
            unfinished = Path(made, "crds")
            unfinished.mkdir()
            for source in SOURCES:
                module = _download(source, limit_s)
                for file in source.files:
                    shutil.copyfile(module / file, unfinished / Path(file).name)
            unfinished.rename(filled)
    return filled


def _download(source: Source, limit_s: float) -> Path:
    """Returns the module's folder in Go's own cache."""
    name = f"{source.module}@{source.version}"
    command = ["go", "mod", "download", "-json", name]
    try:
        # Outside of any module, so that none is changed.
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=limit_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{name} was not fetched: {error}") from error
    answer = json.loads(done.stdout or "{}")
    if "Dir" not in answer:
        raise FetchError(f"{name} was not fetched: {answer.get('Error') or done.stderr}")
    if answer["Sum"] != source.sum:
        raise FetchError(f"{name} has the sum {answer['Sum']}, not the one that is pinned.")
    return Path(answer["Dir"])
