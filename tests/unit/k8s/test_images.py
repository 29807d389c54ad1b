"""The container file: what it starts from, what it leaves, and that it fits the manifests."""

import fnmatch
import re
import shlex

from tests.support.kustomize import ROOT
from tests.support.manifests import SERVERS, server

DOCKERFILE = (ROOT / "k8s" / "images" / "Dockerfile").read_text("utf-8")
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in DOCKERFILE.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]


def given(instruction: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def test_every_base_is_pinned_by_digest() -> None:
    (base,) = (each for each in given("ARG") if each.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=[\w.:/-]+@sha256:[0-9a-f]{64}", base)
    stages = {each.split(" AS ")[1] for each in given("FROM") if " AS " in each}
    assert {each.split(" AS ")[0] for each in given("FROM")} - stages == {"${PYTHON_IMAGE}"}


def test_the_programs_run_as_the_user_that_the_manifests_name() -> None:
    (user,) = given("USER")
    assert INSTRUCTIONS.index(["USER", user]) > INSTRUCTIONS.index(["FROM", "${PYTHON_IMAGE}"])
    for name in SERVERS:
        security = server("overlays/production", name).pod["securityContext"]
        assert user == f"{security['runAsUser']}:{security['runAsGroup']}"


def test_the_image_is_built_with_the_uv_of_the_makefile() -> None:
    (version,) = re.findall(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    lock = (ROOT / "k8s" / "images" / "uv.lock").read_text("utf-8")
    assert re.findall(r"^(\S+==\S+) ", lock, re.MULTILINE) == [f"uv=={version}"]


def test_nothing_is_copied_that_the_context_leaves_out() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sources = [
        source
        for each in given("COPY")
        if not each.startswith("--from=")
        for source in shlex.split(each)[:-1]
        if source != "."
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert is_in_context(source, rules), source
    for private in (".git/config", ".env", "gateway/.env", "keys/dataset.pem", "k8s/overlays/local/roles.sh"):
        assert not is_in_context(private, rules), private


def is_in_context(path: str, rules: list[str]) -> bool:
    """The last rule that names the path, or a folder of it, decides."""
    parts = path.split("/")
    names = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    kept = True
    for rule in (each for each in rules if each and not each.startswith("#")):
        pattern = rule.removeprefix("!")
        if pattern.startswith("**/"):
            hit = any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in parts)
        else:
            depth = pattern.count("/")
            hit = len(parts) > depth and fnmatch.fnmatch(names[depth], pattern)
        kept = rule.startswith("!") if hit else kept
    return kept
