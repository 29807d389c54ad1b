"""What the Makefile compares contracts with, in a repository of the test's own."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Runs git in a repository of three commits."""

    def run(*words: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@t")
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    shutil.copy(MAKEFILE, tmp_path)
    run("init", "--quiet")
    for number in range(3):
        run("commit", "--quiet", "--allow-empty", "-m", str(number))
    return run


def compared_with(folder: Path) -> str:
    # Without what a `make test` around this tells its children.
    outside = {
        key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    done = subprocess.run(
        ["make", "--dry-run", "--assume-old", ".venv/.dev", "breaking"],
        env=outside,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.partition("#ref=")[2].strip().strip("'")


def test_a_branch_is_compared_with_where_it_left_main(git: Git, tmp_path: Path) -> None:
    git("tag", "v1", "HEAD~1")
    git("update-ref", "refs/remotes/origin/main", "HEAD~2")
    assert compared_with(tmp_path) == git("rev-parse", "HEAD~2")


def test_main_is_compared_with_its_last_tag(git: Git, tmp_path: Path) -> None:
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("tag", "v1", "HEAD~2")
    git("tag", "v2", "HEAD")  # of this very commit, which says nothing
    assert compared_with(tmp_path) == "v1"


def test_without_either_the_commit_before_is_compared_with(git: Git, tmp_path: Path) -> None:
    assert compared_with(tmp_path) == git("rev-parse", "HEAD~1")
