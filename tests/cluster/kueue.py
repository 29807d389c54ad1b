"""Kueue's own controller beside the control plane: a process whose webhooks are called on loopback.

Its manifests are the ones that it publishes, less what only its Deployment needs.
"""

import json
import subprocess
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import child, free_ports
from tests.cluster.waiting import until

NAMESPACE = "kueue-system"
_SECRET = "kueue-webhook-server-cert"
_CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_KINDS = {"Namespace", "CustomResourceDefinition", "Secret", "Service", *_CONFIGURATIONS}
# Of the webhooks, those for Jobs and for Kueue's own kinds; nobody here has the others.
_WATCHED = ("job", "clusterqueue", "cohort", "resourceflavor", "workload")

Manifest = dict[str, Any]


@dataclass
class Kueue:
    """program: its controller. manifests: the folder `config` of its module."""

    cluster: Cluster
    program: Path
    manifests: Path
    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Installs it; returns when it admits."""
        webhook, health, metrics = free_ports(3)
        plane = self.cluster.plane
        built = plane.kubectl("kustomize", str(self.manifests / "default")).stdout
        ours = [each for one in yaml.safe_load_all(built) if (each := _ours(one, webhook))]
        plane.kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(ours))
        certificates = self.folder / "certificates"
        certificates.mkdir(parents=True)
        configuration = self.folder / "configuration.yaml"
        configuration.write_text(
            json.dumps(
                {
                    "apiVersion": "config.kueue.x-k8s.io/v1beta2",
                    "kind": "Configuration",
                    "namespace": NAMESPACE,
                    "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
                    "metrics": {"bindAddress": f"127.0.0.1:{metrics}"},
                    "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": str(certificates)},
                    "leaderElection": {"leaderElect": False},
                    "integrations": {"frameworks": ["batch/job"]},
                }
            )
        )
        command = [
            str(self.program),
            f"--config={configuration}",
            f"--kubeconfig={plane.admin_kubeconfig}",
            "--feature-gates=VisibilityOnDemand=false",
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(child(command), stdout=log, stderr=subprocess.STDOUT)
        self._mount(certificates)
        until(lambda: _is_ready(health), "Kueue is ready", within_s=120)

    def stop(self) -> None:
        """Ends it; Jobs are then made without it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
        for kind in ("mutating", "validating"):
            name = f"kueue-{kind}-webhook-configuration"
            self.cluster.plane.kubectl("delete", f"{kind}webhookconfiguration", name, "--ignore-not-found")

    def _mount(self, certificates: Path) -> None:
        """What a kubelet does: the secret that Kueue fills becomes files."""

        def filled() -> Manifest | None:
            found = self.cluster.api.find("secrets", _SECRET, NAMESPACE)
            return found if found and found.get("data", {}).get("tls.crt") else None

        for name, text in until(filled, "Kueue made its certificate")["data"].items():
            (certificates / name).write_bytes(b64decode(text))


def _ours(manifest: Manifest, port: int) -> Manifest | None:
    """The manifest as it fits a process on loopback; None for what it does not need."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if kind not in _KINDS or (kind == "Service" and name != "kueue-webhook-service"):
        return None
    if kind == "Service":
        # The API server calls an external name at the port that the webhook names.
        return {**manifest, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    if kind in _CONFIGURATIONS:
        watched = {f"{letter}{noun}.kb.io" for letter in "mv" for noun in _WATCHED}
        manifest["webhooks"] = [each for each in manifest["webhooks"] if each["name"] in watched]
        for each in manifest["webhooks"]:
            each["clientConfig"]["service"]["port"] = port
    if kind == "CustomResourceDefinition" and "conversion" in manifest["spec"]:
        manifest["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["port"] = port
    return manifest


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False
