"""A node that is not there, with a kubelet that runs each pod's command as a process of this machine, or has
a function stand in for it.

It does for a pod what the Job controller and the trainer can see of a real node: environment, volumes,
projected token, status, logs, graceful end. It isolates nothing: users, limits, read-only roots and networks
are left to real nodes.
"""

import contextlib
import shutil
import signal
import ssl
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil

from tests.cluster import pods
from tests.cluster.api import WATCH_S, Api, ApiError, Resource
from tests.cluster.certificates import Certificates
from tests.cluster.control_plane import child, free_ports

HEARTBEAT_EVERY_S = 2.0
RETRY_EVERY_S = 0.5
LOOPBACK = "127.0.0.1"
# The variable with the port where the pods of a Job meet.
MASTER_PORT = "VISIONTUNE_MASTER_PORT"
# Marks all processes of a pod, with its uid.
POD_VARIABLE = "VISIONTUNE_TEST_POD"
# What a container runtime answers for a command that it cannot start.
CANNOT_START = 128
KILLED = 137
# Of a log in a pod's status, at the most.
MESSAGE_BYTES = 2048
# Does in this process what an image's program would: from its environment, and an event that asks it to end,
# to its exit code.
StandIn = Callable[[Mapping[str, str], threading.Event], int]


@dataclass
class Machine:
    """What all test nodes share: the images that they can pull, and what names of the cluster mean here."""

    folder: Path
    images: dict[str, Mapping[str, str]]  # image to its environment variables, PATH above all
    stand_ins: dict[str, StandIn] = field(default_factory=dict)  # by image; the others' commands are run
    # Host, or host:port, of a service to the same on loopback.
    names: dict[str, str] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def log(self, namespace: str, pod: str) -> Path:
        """Return the file with what a pod wrote, which is kept after the pod."""
        return self.folder / "logs" / namespace / pod

    def master_port(self, master: str) -> int:
        """Return the port where processes meet: all pods have one host, so each master needs its own."""
        with self._lock:
            return self._ports.setdefault(master, free_ports(1)[0])


class Node:
    """One node: registered, ready as long as its lease is renewed, and running pods until it is stopped."""

    def __init__(self, admin: Api, machine: Machine, certificates: Certificates, name: str) -> None:
        self.name, self.machine, self._admin, self.api = name, machine, admin, admin.as_node(name)
        self._stopped = threading.Event()
        self._pods: dict[str, PodProcess] = {}
        self._logs = _log_server(certificates, machine)
        self._threads = [
            threading.Thread(target=work, name=f"{name}-{work.__name__}", daemon=True)
            for work in (self._logs.serve_forever, self._beat, self._sync)
        ]

    def start(
        self, labels: Mapping[str, str], capacity: Mapping[str, str], taints: list[Resource] | None = None
    ) -> None:
        """Register the node and begin its work; it takes pods once node-lifecycle has seen it ready."""
        self._admin.create(
            "nodes",
            {
                "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name, **labels}},
                "spec": {"taints": taints or []},
            },
        )
        room = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110", **capacity}
        status = {
            "capacity": room,
            "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": LOOPBACK}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._logs.server_port}},
            "conditions": [_ready_condition()],
        }
        self.api.patch("nodes", f"{self.name}/status", {"status": status})
        self.api.create("leases", {"metadata": {"name": self.name}, "spec": _lease()}, "kube-node-lease")
        for thread in self._threads:
            thread.start()

    def lose(self) -> None:
        """Cut the node's power: its processes die, and it says no more."""
        self._stopped.set()
        for pod in list(self._pods.values()):
            pod.kill()
        self._logs.shutdown()

    def remove(self) -> None:
        """Take the node out of the cluster, as an operator does after a loss."""
        self.lose()
        self._admin.delete("nodes", self.name)
        self._admin.delete("leases", self.name, "kube-node-lease")
        for thread in self._threads:
            thread.join(timeout=WATCH_S + 5)
        self._logs.server_close()
        self.api.close()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_EVERY_S):
            try:
                self.api.patch("leases", self.name, {"spec": _lease()}, "kube-node-lease")
                self.api.patch(
                    "nodes", f"{self.name}/status", {"status": {"conditions": [_ready_condition()]}}
                )
            except (ApiError, httpx.TransportError):
                continue  # the API server is away; the next beat may find it

    def _sync(self) -> None:
        mine = {"fieldSelector": f"spec.nodeName={self.name}"}
        while not self._stopped.is_set():
            try:
                found = self.api.list("pods", **mine)
                for pod in found["items"]:
                    self._see("ADDED", pod)
                self._forget({pod["metadata"]["uid"] for pod in found["items"]})
                for change, pod in self.api.watch("pods", found["metadata"]["resourceVersion"], **mine):
                    if self._stopped.is_set() or change == "ERROR":
                        break
                    self._see(change, pod)
            except (ApiError, httpx.TransportError):
                self._stopped.wait(RETRY_EVERY_S)

    def _see(self, change: str, pod: Resource) -> None:
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        known = self._pods.get(uid)
        if change == "DELETED":
            self._forget(self._pods.keys() - {uid})
        elif known is None and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            self._pods[uid] = known = PodProcess(self.api, self.machine, pod, self._stopped)
            threading.Thread(target=known.live, name=metadata["name"], daemon=True).start()
        if known and "deletionTimestamp" in metadata:
            known.end(float(metadata.get("deletionGracePeriodSeconds", 30)))

    def _forget(self, present: Set[str]) -> None:
        """Kill the pods that the API server no longer has."""
        for uid in self._pods.keys() - present:
            self._pods.pop(uid).kill()


class PodProcess:
    """One pod with one container, from its binding to its last status."""

    def __init__(self, api: Api, machine: Machine, pod: Resource, stopped: threading.Event) -> None:
        self.api, self.machine, self.pod, self._stopped = api, machine, pod, stopped
        metadata: Mapping[str, str] = pod["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.seen_at = _now()
        self.folder = machine.folder / "pods" / self.uid
        self.log = machine.log(self.namespace, self.name)
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def container(self) -> Resource:
        return dict(self.pod["spec"]["containers"][0])

    def live(self) -> None:
        """Run the pod to its end and report it; a thread of its own does this."""
        if self.container["image"] not in self.machine.images:
            message = f'Back-off pulling image "{self.container["image"]}"'
            self._report("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": message}})
            self._ending.wait()
        else:
            self._report_end(self._run())
        if self._ending.is_set():
            self._let_go()

    def end(self, grace_s: float) -> None:
        """Ask the process to end, and kill it after the grace; nothing happens the second time."""
        with self._lock:
            if self._ending.is_set():
                return
            self._ending.set()
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
        killer = threading.Timer(grace_s, self.kill)
        killer.daemon = True
        killer.start()

    def kill(self) -> None:
        """Kill the container's first process and all its children."""
        with self._lock:
            self._ending.set()
        self._kill_all()

    def _kill_all(self) -> None:
        """Kill by the variable that all inherited: torchrun puts each worker into a session of its own."""
        if self._process is None:
            return
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(POD_VARIABLE) == self.uid:
                    process.kill()

    def _run(self) -> Resource:
        """Return the `terminated` state of the container."""
        started_at = _now()
        try:
            wait = self._begin()
        except (OSError, ValueError, KeyError, ApiError, httpx.TransportError) as error:
            return _terminated(CANNOT_START, "StartError", started_at, str(error))
        self._report("Running", {"running": {"startedAt": started_at}})
        code = wait()
        self._kill_all()  # a container's processes end with the first
        code = code if code >= 0 else 128 - code  # as a shell says that a signal ended it
        if code == 0:
            return _terminated(code, "Completed", started_at)
        return _terminated(code, "Error", started_at, self._last_words())

    def _begin(self) -> Callable[[], int]:
        """Start the container; return what waits for its exit code."""
        command, environment = self._prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output, self._lock:
            stand_in = self.machine.stand_ins.get(self.container["image"])
            if self._ending.is_set():
                return lambda: KILLED
            if stand_in is not None:
                return lambda: stand_in(environment, self._ending)
            self._process = subprocess.Popen(
                child(command),
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            return self._process.wait

    def _last_words(self) -> str:
        """Return the end of the log for the pod's status, where the container's policy asks for it."""
        if self.container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        return self.log.read_bytes()[-MESSAGE_BYTES:].decode(errors="replace")

    def _prepare(self) -> tuple[list[str], dict[str, str]]:
        """Make the volumes; return the command and its whole environment."""
        container = self.container
        if len(self.pod["spec"]["containers"] + self.pod["spec"].get("initContainers", [])) > 1:
            raise ValueError("The test kubelet runs pods of one container.")
        self.folder.mkdir(parents=True)
        volumes = {volume["name"]: self._volume(volume) for volume in self.pod["spec"].get("volumes", [])}
        folders = {
            mount["mountPath"]: str(volumes[mount["name"]] / mount.get("subPath", ""))
            for mount in container.get("volumeMounts", [])
        }
        names = self.machine.names | dict.fromkeys(pods.hostnames(self.pod), LOOPBACK)
        translate = pods.Translation(folders, names)
        own = pods.environment(
            container, {**self.pod, "status": {"podIP": LOOPBACK, "hostIP": LOOPBACK}}, self._configured
        )
        if MASTER_PORT in own:
            master = pods.master(self.pod) or self.name
            own[MASTER_PORT] = str(self.machine.master_port(f"{master}.{self.namespace}"))
        variables = {name: translate(value) for name, value in own.items()}
        words = container.get("command", []) + container.get("args", [])
        command = [translate(pods.expand(word, variables)) for word in words]
        if shutil.which(command[0], path=self.machine.images[container["image"]]["PATH"]) is None:
            raise FileNotFoundError(f'exec: "{command[0]}": executable file not found in $PATH')
        given = {"HOSTNAME": self.pod["spec"].get("hostname", self.name), POD_VARIABLE: self.uid}
        return command, {**self.machine.images[container["image"]], **given, **variables}

    def _volume(self, volume: Resource) -> Path:
        folder = self.folder / "volumes" / str(volume["name"])
        folder.mkdir(parents=True)
        if "emptyDir" in volume:
            return folder
        if "downwardAPI" in volume:
            for item in volume["downwardAPI"]["items"]:
                text = pods.field_of(self.pod, item["fieldRef"]["fieldPath"])
                (folder / item["path"]).write_text(text)
            return folder
        if "projected" in volume:
            sources = volume["projected"]["sources"]
        else:
            sources = [{kind: volume[kind]} for kind in ("configMap", "secret") if kind in volume]
        if not sources:
            raise ValueError(f"The test kubelet makes no volume like {volume}.")
        for source in sources:
            for name, text in self._files(source).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        return folder

    def _files(self, source: Resource) -> dict[str, str]:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted["path"]: self._token(wanted)}
        kind, plural = ("configMap", "configmaps") if "configMap" in source else ("secret", "secrets")
        wanted = source[kind]
        data = self._data(plural, wanted.get("name") or wanted["secretName"])
        items = wanted.get("items") or [{"key": key, "path": key} for key in data]
        return {item["path"]: data[item["key"]] for item in items}

    def _token(self, wanted: Resource) -> str:
        """Return a token bound to this pod. It is not renewed: a test ends before it does."""
        bound = {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid}
        spec = {
            "audiences": [wanted["audience"]] if "audience" in wanted else [],
            "expirationSeconds": wanted.get("expirationSeconds", 3600),
            "boundObjectRef": bound,
        }
        account = self.pod["spec"]["serviceAccountName"]
        made = self._ask(
            lambda: self.api.create("serviceaccounts", {"spec": spec}, self.namespace, f"{account}/token")
        )
        return str(made["status"]["token"])

    def _configured(self, kind: str, name: str, key: str) -> str:
        return self._data(kind, name)[key]

    def _data(self, kind: str, name: str) -> dict[str, str]:
        found = self._ask(lambda: self.api.get(kind, name, self.namespace))
        if kind == "configmaps":
            return dict(found.get("data", {}))
        return {key: b64decode(value).decode() for key, value in found.get("data", {}).items()}

    def _report_end(self, terminated: Resource) -> None:
        phase = "Succeeded" if terminated["exitCode"] == 0 else "Failed"
        self._report(phase, {"terminated": terminated})

    def _report(self, phase: str, state: Resource) -> None:
        ready = "True" if phase == "Running" else "False"
        container = self.container
        status = {
            "phase": phase,
            "hostIP": LOOPBACK,
            "podIP": LOOPBACK,
            "podIPs": [{"ip": LOOPBACK}],
            "startTime": self.seen_at,
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": ready},
                {"type": "ContainersReady", "status": ready},
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": container["image"] if "waiting" not in state else "",
                    "ready": phase == "Running",
                    "started": phase == "Running",
                    "restartCount": 0,
                    "state": {"waiting": None, "running": None, "terminated": None, **state},
                }
            ],
        }
        self._persist(
            lambda: self.api.patch(
                "pods",
                f"{self.name}/status",
                {"metadata": {"uid": self.uid}, "status": status},
                self.namespace,
            )
        )

    def _let_go(self) -> None:
        """Tell the API server that nothing of the pod runs any more, which frees its name."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        self._persist(lambda: self.api.delete("pods", self.name, self.namespace, options))

    def _ask(self, call: Callable[[], Resource]) -> Resource:
        """Repeat the call for a while: a pod may be younger than what the API server knows of its node."""
        for _ in range(20):
            with contextlib.suppress(ApiError, httpx.TransportError):
                return call()
            self._stopped.wait(RETRY_EVERY_S)
        return call()

    def _persist(self, call: Callable[[], Any]) -> None:
        """Repeat the call until the API server took it, knows no such pod, or the node is lost."""
        while not self._stopped.is_set():
            try:
                call()
            except httpx.TransportError:
                self._stopped.wait(RETRY_EVERY_S)
            except ApiError as error:
                if error.code in {404, 409}:
                    return
                self._stopped.wait(RETRY_EVERY_S)
            else:
                return


def _log_server(certificates: Certificates, machine: Machine) -> ThreadingHTTPServer:
    """Return a server of what pods wrote: the part of a kubelet's API that `kubectl logs` asks."""

    class Logs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            _, kind, namespace, pod, *_ = asked.path.split("/")
            found = machine.log(namespace, pod)
            if kind != "containerLogs" or not found.is_file():
                self.send_error(404)
                return
            lines = found.read_bytes().splitlines(keepends=True)
            tail = int(parse_qs(asked.query).get("tailLines", [len(lines)])[0])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"".join(lines[len(lines) - tail :] if tail < len(lines) else lines))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Tests read no access log."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Logs)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _terminated(code: int, reason: str, started_at: str, message: str = "") -> Resource:
    return {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": started_at,
        "finishedAt": _now(),
    }


def _ready_condition() -> Resource:
    now = _now()
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def _lease() -> Resource:
    return {"leaseDurationSeconds": 40, "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
