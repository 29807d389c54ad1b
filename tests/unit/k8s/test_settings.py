"""The environment that the manifests give is the one that the programs read."""

from typing import Any

import pytest
from visiontune_dataset.settings import Settings as DatasetSettings
from visiontune_gateway.settings import Settings as GatewaySettings
from visiontune_kit.settings import COMMON_PREFIX, ServerSettings, describe
from visiontune_storage.settings import Settings as StorageSettings
from visiontune_trainer.settings import Settings as TrainerSettings

from tests.support.manifests import OVERLAYS, SERVERS, of_kind, server, settings

PROGRAMS: dict[str, type[ServerSettings]] = {
    "gateway": GatewaySettings,
    "storage": StorageSettings,
    "dataset": DatasetSettings,
    "trainer": TrainerSettings,
}
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
every_server = pytest.mark.parametrize("name", SERVERS)


def names(program: type[ServerSettings]) -> set[str]:
    own = {name for name, _ in describe(program)}
    return own | {f"{COMMON_PREFIX}{name}".upper() for name in program.model_fields}


def environment(overlay: str, name: str) -> dict[str, str]:
    """What the server's container gets, with secrets made up."""
    given = {each["name"]: each.get("value", "made-up") for each in server(overlay, name).server["env"]}
    return {**settings(overlay), **given}


def read(overlay: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for variable, value in environment(overlay, name).items():
        monkeypatch.setenv(variable, value)
    return PROGRAMS[name](_env_file=None)


@every_overlay
def test_every_variable_is_a_setting(overlay: str) -> None:
    known = set().union(*(names(program) for program in PROGRAMS.values()))
    given = settings(overlay).keys()
    assert given - known == set()
    for name, program in PROGRAMS.items():
        own = {each["name"] for each in server(overlay, name).server["env"]}
        assert own - names(program) == set()


@every_overlay
@every_server
def test_a_server_listens_where_its_ports_say(
    overlay: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(overlay, name, monkeypatch)
    ports = {each["name"]: each["containerPort"] for each in server(overlay, name).server["ports"]}
    grpc_port = found.grpc_port if name == "gateway" else found.port
    wanted = {"grpc": grpc_port, "metrics": found.metrics_port, "health": found.health_port}
    if name == "gateway":
        wanted["http"] = found.port
    if name == "trainer":
        wanted["worker"] = found.worker_port
        assert found.worker_target.endswith(f":{found.worker_port}")
    assert ports == wanted
    assert found.host == "0.0.0.0"  # noqa: S104 - a pod's own address is not known before


@every_overlay
def test_every_service_leads_to_a_port_of_a_pod(overlay: str) -> None:
    servers = {f"visiontune-{name}": server(overlay, name) for name in SERVERS}
    for service in of_kind(overlay, "Service"):
        selector = service["spec"]["selector"]["app.kubernetes.io/name"]
        if selector not in servers:
            continue
        ports = {each["name"]: each["containerPort"] for each in servers[selector].server["ports"]}
        for each in service["spec"]["ports"]:
            assert ports[each["targetPort"]] == each["port"]
        grpc = any(each["name"] == "grpc" for each in service["spec"]["ports"])
        assert (service["spec"].get("clusterIP") == "None") is grpc


@every_overlay
def test_every_target_is_a_service(overlay: str) -> None:
    services = {
        f"{each['metadata']['name']}.{each['metadata']['namespace']}.svc:{port['port']}"
        for each in of_kind(overlay, "Service")
        for port in each["spec"]["ports"]
    }
    targets = {k: v for k, v in settings(overlay).items() if k.endswith("_TARGET")}
    assert targets.pop("VISIONTUNE_IDENTITY_TARGET") == "localhost:8704"
    assert len(targets) == 6
    assert {target.removeprefix("dns:///") for target in targets.values()} <= services
    if overlay == "overlays/local":
        assert settings(overlay)["VISIONTUNE_STORAGE_S3_ENDPOINT"] in services


@every_overlay
@every_server
def test_what_a_server_reads_is_mounted(overlay: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(overlay, name, monkeypatch)
    folders = {each["mountPath"] for each in server(overlay, name).server["volumeMounts"]}
    files = [found.issuers_file, found.signing_key_file, found.tls_certificate_file, found.tls_ca_file]
    assert {str(file.parent) for file in files if file} <= folders
    assert "/tmp" in folders  # noqa: S108 - where scratch files go by default
    mtls = overlay == "overlays/production-mtls"
    assert (found.tls_certificate_file is not None, found.tls_ca_file is not None) == (mtls, mtls)


@every_overlay
def test_certificates_are_made_for_servers_alone(overlay: str) -> None:
    made = {
        each["metadata"]["name"]: each["metadata"]["namespace"] for each in of_kind(overlay, "Certificate")
    }
    made.pop("visiontune-ca", None)
    mtls = overlay == "overlays/production-mtls"
    holders = [*SERVERS, "preview"] if mtls else []
    assert made == {f"visiontune-{name}": "visiontune" for name in holders}


def test_a_certificate_names_every_host_that_clients_ask_for() -> None:
    overlay = "overlays/production-mtls"
    hosts = {
        host
        for each in of_kind(overlay, "Certificate")
        if each["metadata"]["namespace"] == "visiontune"
        for host in each["spec"]["dnsNames"]
    }
    targets = [value for key, value in settings(overlay).items() if key.endswith("_TARGET")]
    assert {target.removeprefix("dns:///").rsplit(":", 1)[0] for target in targets} <= hosts
