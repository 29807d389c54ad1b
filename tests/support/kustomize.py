"""Builds a kustomization with whatever this machine has, or with a kustomize that Go builds once."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
VERSION = "v5.8.1"
_CACHE = Path.home() / ".cache" / "visiontune" / "bin"

Manifest = dict[str, Any]


@cache
def build(folder: str) -> tuple[Manifest, ...]:
    """Returns every object of the kustomization `k8s/<folder>`."""
    done = subprocess.run([*_tool(), str(K8S / folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def _tool() -> tuple[str, ...]:
    """Returns the command to which a folder is added."""
    if own := os.environ.get("KUSTOMIZE"):
        return (own, "build")
    if found := shutil.which("kustomize"):
        return (found, "build")
    if found := shutil.which("kubectl"):
        return (found, "kustomize")
    if not (_CACHE / "kustomize").exists():
        _install()
    return (str(_CACHE / "kustomize"), "build")


def _install() -> None:
    if shutil.which("go") is None:
        pytest.skip("no kustomize, kubectl or Go: the manifests were not built")
    subprocess.run(
        ["go", "install", f"sigs.k8s.io/kustomize/kustomize/v5@{VERSION}"],
        env={**os.environ, "GOBIN": str(_CACHE), "CGO_ENABLED": "0", "GOFLAGS": "-p=2"},
        check=True,
    )
