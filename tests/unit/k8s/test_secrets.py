"""Secrets: named by the manifests, made by the commands of docs/operating.md, held by nobody else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.tokens import TokenMinter, TokenVerifier

from tests.support import manual
from tests.support.kustomize import build
from tests.support.manifests import OVERLAYS, SERVERS, of_kind, workloads

# Stands for kubectl: writes down what it is asked to create. Values may be files, read at once.
KUBECTL = """
import json, pathlib, sys
arguments = sys.argv[1:]
if "create" in arguments:
    made = {}
    for each in arguments:
        option, _, rest = each.partition("=")
        key, _, value = rest.partition("=")
        if option == "--from-literal":
            made[key] = value
        if option == "--from-file":
            path = pathlib.Path(value or key)
            made[key if value else path.name] = path.read_text()
    name = next(each for each in arguments if each.startswith("visiontune-"))
    with open("made.jsonl", "a") as out:
        out.write(json.dumps([name, made]) + "\\n")
"""

Secrets = dict[str, dict[str, str]]


def needed(overlay: str) -> dict[str, set[str]]:
    """Secrets that pods name, with the keys that they read; less what cert-manager makes."""
    found: dict[str, set[str]] = {}
    for workload in workloads(overlay):
        for variable in (each for container in workload.containers for each in container.get("env", ())):
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                found.setdefault(secret["name"], set()).add(secret["key"])
        for volume in workload.pod.get("volumes", ()):
            if secret := volume.get("secret"):
                found.setdefault(secret["secretName"], set()).add("signing.pem")
            for source in volume.get("projected", {}).get("sources", ()):
                keys = {item["key"] for item in source["secret"]["items"]}
                found.setdefault(source["secret"]["name"], set()).update(keys)
    for certificate in of_kind(overlay, "Certificate"):
        found.pop(certificate["spec"]["secretName"], None)
    return found


def run_manual(folder: Path, *blocks: str) -> Secrets:
    """Runs the marked commands of the manual with a kubectl that only takes notes."""
    manual.run(folder, KUBECTL, *blocks)
    return dict(json.loads(line) for line in (folder / "made.jsonl").read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return run_manual(tmp_path_factory.mktemp("local"), "keys", "local")


def keys_of(made: Secrets) -> dict[str, set[str]]:
    return {name: set(values) for name, values in made.items() if name != "visiontune-issuers"}


def test_the_manual_makes_what_the_local_overlay_needs(local: Secrets) -> None:
    assert keys_of(local) == needed("overlays/local")


def test_the_manual_makes_what_production_needs(tmp_path: Path) -> None:
    made = run_manual(tmp_path, "keys", "production")
    for overlay in ("overlays/production", "overlays/production-mtls"):
        assert keys_of(made) == needed(overlay)
    assert made["visiontune-s3"] == {"access_key": "typed", "secret_key": "typed"}


def test_each_service_gets_a_database_and_a_password_of_its_own(local: Secrets) -> None:
    for name in SERVERS:
        made = local[f"visiontune-{name}-database"]
        url = make_url(made["url"])
        assert (url.drivername, url.database) == ("postgresql+asyncpg", f"visiontune_{name}")
        assert (url.username, url.password) == (f"visiontune_{name}", made["password"])
        assert url.host == "visiontune-postgres.visiontune.svc"
    assert len({local[f"visiontune-{name}-database"]["password"] for name in SERVERS}) == len(SERVERS)


@pytest.mark.parametrize("name", ["gateway", "dataset", "trainer"])
def test_the_public_halves_belong_to_the_keys(local: Secrets, name: str, tmp_path: Path) -> None:
    for file, text in local["visiontune-issuers"].items():
        (tmp_path / file).write_text(text, "utf-8")
    pem = local[f"visiontune-{name}-key"]["signing.pem"].encode()
    token = TokenMinter(pem, f"visiontune-{name}").mint(Principal("s", "p", Role.EDITOR, Kind.SERVICE))
    believed = TokenVerifier.from_file(tmp_path / "issuers.json").verify(token)
    assert believed.kind is (Kind.USER if name == "gateway" else Kind.SERVICE)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_is_in_the_manuals_table(overlay: str) -> None:
    rows = {
        name: line
        for line in manual.MANUAL.splitlines()
        for name in re.findall(r"^\| (?:secret|config map) `([\w-]+)`", line)
    }
    assert needed(overlay).keys() | {"visiontune-issuers"} <= rows.keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_manifest_holds_a_secret(overlay: str) -> None:
    assert [each for each in build(overlay) if each["kind"] == "Secret"] == []
    plain: list[Any] = [
        variable["name"]
        for workload in workloads(overlay)
        for container in workload.containers
        for variable in container.get("env", ())
        if "value" in variable and re.search(r"PASSWORD|SECRET|ACCESS_KEY|DATABASE_URL", variable["name"])
    ]
    assert plain == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_storage_alone_gets_the_object_stores_credentials(overlay: str) -> None:
    holders = {
        workload.name
        for workload in workloads(overlay)
        if "visiontune-s3" in json.dumps(workload.pod.get("volumes", []))
        or any(
            variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == "visiontune-s3"
            for container in workload.containers
            for variable in container.get("env", ())
        )
    }
    assert holders - {"visiontune-s3"} == {"visiontune-storage"}  # the store itself knows them too
