"""A real control plane on loopback: etcd, API server, controllers and scheduler as child processes."""

import json
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.api import Api
from tests.cluster.certificates import Certificates, make_certificates

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 15.0
# A node is lost when its lease is silent for this long; Kubernetes' own default is 50 s.
NODE_GRACE_S = 10
ISSUER = "https://kubernetes.default.svc"
USERS: Mapping[str, str] = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
# The calls of the services' accounts are written down: who asked for what, not what was said.
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:visiontune"]},
        {"level": "None"},
    ],
}


def child(command: list[str]) -> list[str]:
    """Return the command so that it ends with the thread that starts it, even when that one is killed."""
    setpriv = shutil.which("setpriv")  # of Linux; elsewhere the tests' own clean-up has to do
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


@dataclass
class ControlPlane:
    """One cluster without machines. Programs: name to path."""

    programs: Mapping[str, Path]
    folder: Path
    ports: Mapping[str, int] = field(init=False)
    tokens: Mapping[str, str] = field(init=False)
    certificates: Certificates = field(init=False)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        names = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.tokens = {user: secrets.token_hex(16) for user in USERS}
        self.certificates = make_certificates(self.folder)
        lines = [f'{self.tokens[user]},{user},{user},"{groups}"' for user, groups in USERS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines))
        for user in USERS:
            self.kubeconfig(user.rpartition(":")[2], self.tokens[user])
        (self.folder / "scheduler.json").write_text(json.dumps(self._scheduler_configuration()))
        (self.folder / "audit.json").write_text(json.dumps(AUDIT))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def audited(self) -> list[dict[str, Any]]:
        """Return the services' calls of the API server, as its audit log has them."""
        log = self.folder / "audit.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def api(self, token: str = "") -> Api:
        """Return a client, the administrator's when no token is given."""
        trust = ssl.create_default_context(cafile=str(self.certificates.ca))
        return Api(self.url, trust, token or self.tokens["admin"])

    def kubeconfig(self, name: str, token: str) -> Path:
        """Write a kubeconfig file of one caller."""
        cluster = {"server": self.url, "certificate-authority": str(self.certificates.ca)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        written = self.folder / f"{name}.kubeconfig"
        written.write_text(json.dumps(content))  # JSON is YAML
        return written

    def kubectl(
        self, *arguments: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator."""
        command = [str(self.programs["kubectl"]), f"--kubeconfig={self.admin_kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done

    def start(self) -> None:
        """Start all programs, in the order in which they need each other; each is ready when this returns."""
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            self.start_one(name)

    def start_one(self, name: str) -> None:
        command, ready_path = self._table()[name]
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            self._running[name] = subprocess.Popen(
                child([str(self.programs[name]), *command]), stdout=output, stderr=subprocess.STDOUT
            )
        scheme = "http" if name == "etcd" else "https"
        self._wait_until(name, lambda: _answers(f"{scheme}://127.0.0.1:{self.ports[name]}{ready_path}"))

    def stop_one(self, name: str) -> None:
        """End a program by its process id, gently at first."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self.stop_one(name)

    def _wait_until(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not ready():
            ended = self._running[name].poll() is not None
            if ended or time.monotonic() > deadline:
                tail = (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]
                problem = "ended" if ended else f"was not ready within {READY_WITHIN_S:g} s"
                raise RuntimeError(f"{name} {problem}. It said:\n{tail}")
            time.sleep(0.2)

    def _table(self) -> dict[str, tuple[list[str], str]]:
        """Flags of each program, and the path that answers when it is ready."""
        made, port = self.certificates, self.ports
        own, etcd_url, peer_url = (
            self.folder,
            f"http://127.0.0.1:{port['etcd']}",
            f"http://127.0.0.1:{port['etcd-peer']}",
        )
        etcd = [
            f"--data-dir={own / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
        ]
        apiserver = [
            f"--etcd-servers={etcd_url}",
            f"--secure-port={port['kube-apiserver']}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # the others refuse loopback
            f"--tls-cert-file={made.server}",
            f"--tls-private-key-file={made.server_key}",
            f"--client-ca-file={made.ca}",
            f"--token-auth-file={own / 'tokens.csv'}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={made.accounts_public_key}",
            f"--service-account-signing-key-file={made.accounts_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
            "--profiling=false",
            f"--audit-policy-file={own / 'audit.json'}",
            f"--audit-log-path={own / 'audit.log'}",
        ]
        controllers = [
            f"--kubeconfig={own / 'kube-controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={made.accounts_key}",
            f"--root-ca-file={made.ca}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port['kube-controller-manager']}",
            "--leader-elect=false",
            "--use-service-account-credentials",  # each controller with its own rights, as everywhere
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={NODE_GRACE_S}s",
            "--node-eviction-rate=10",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--authorization-always-allow-paths=/healthz",
        ]
        scheduler = [
            f"--config={own / 'scheduler.json'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port['kube-scheduler']}",
            "--authorization-always-allow-paths=/healthz",
        ]
        return {
            "etcd": (etcd, "/health"),
            "kube-apiserver": (apiserver, "/readyz"),
            "kube-controller-manager": (controllers, "/healthz"),
            "kube-scheduler": (scheduler, "/healthz"),
        }

    def _scheduler_configuration(self) -> dict[str, object]:
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.folder / "kube-scheduler.kubeconfig")},
            "leaderElection": {"leaderElect": False},
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 2,  # else a pod that did not fit waits up to 10 s longer than it has to
        }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=False, timeout=2).is_success  # noqa: S501 - controllers sign their own; loopback
    except httpx.TransportError:
        return False


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
