"""The Deployment that augments pictures: what it is told it reads, and no secret is among it."""

import pytest
from visiontune_worker.preview import Settings

from tests.support.manifests import OVERLAYS, of_kind, server, settings

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@every_overlay
def test_it_listens_where_its_ports_say_and_holds_no_credentials(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = server(overlay, "preview")
    for name, value in settings(overlay).items():
        monkeypatch.setenv(name, value)
    for each in preview.server["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    found = Settings(_env_file=None)
    assert (found.host, found.socket, found.idle_s) == ("0.0.0.0", None, 0)  # noqa: S104 - a pod's own
    assert {each["name"]: each["containerPort"] for each in preview.server["ports"]} == {
        "grpc": found.port,
        "health": found.health_port,
    }
    mtls = overlay == "overlays/production-mtls"
    assert [volume["name"] for volume in preview.pod["volumes"]] == (
        ["scratch", "tls"] if mtls else ["scratch"]
    )
    assert (found.tls_certificate_file is not None, found.tls_ca_file is not None) == (mtls, mtls)
    [account] = (
        each
        for each in of_kind(overlay, "ServiceAccount")
        if each["metadata"]["name"] == preview.pod["serviceAccountName"]
    )
    assert account["automountServiceAccountToken"] is False


@every_overlay
def test_it_runs_the_image_of_the_workers_with_the_settings_of_the_servers(overlay: str) -> None:
    preview = server(overlay, "preview").server
    assert preview["image"] == settings(overlay)["VISIONTUNE_TRAINER_KUBERNETES_WORKER_IMAGE"]
    [given] = preview["envFrom"]
    [servers] = server(overlay, "dataset").server["envFrom"]
    assert given == servers
