"""Every manifest is what five releases of Kubernetes know, to the last field."""

import json
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils

from tests.support.kustomize import Manifest, build
from tests.support.manifests import OVERLAYS, examples

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
# Kinds of other projects: their schemas are not in Kubernetes. tests/cluster asks the real API server.
NOT_COVERED = {
    "Certificate",
    "ClusterIssuer",
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "ServiceMonitor",
}


def manifests() -> list[Manifest]:
    """Each manifest once, however many overlays have it."""
    built = [each for folder in (*OVERLAYS, "monitoring") for each in build(folder)]
    distinct = {json.dumps(each, sort_keys=True): each for each in [*built, *examples()]}
    return list(distinct.values())


@pytest.fixture
def cached_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads each schema once; the definitions alone are some megabytes."""
    monkeypatch.setattr(utils, "schema_contents", cache(utils.schema_contents))


@pytest.mark.usefixtures("cached_schemas")
@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    for manifest in manifests():
        if manifest["kind"] not in NOT_COVERED:
            assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.usefixtures("cached_schemas")
def test_an_unknown_field_is_found() -> None:
    service: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "spec": {"clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, VERSIONS[0], strict=True)


@pytest.mark.usefixtures("cached_schemas")
def test_the_kinds_that_nobody_checks_are_the_ones_listed() -> None:
    unknown = set()
    for manifest in manifests():
        try:
            kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unknown.add(manifest["kind"])
    assert unknown == NOT_COVERED
