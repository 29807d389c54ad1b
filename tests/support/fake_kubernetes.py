"""A small cluster in memory: a double for the API server and for those who act on its objects (the Job
controller, a scheduler, kubelets). It knows what our backend uses, and fails when and as a test says. The
trainer has the rights that k8s/ gives it and no others. Tests against a real control plane: tests/cluster.
"""

import copy
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from visiontune_trainer.compute.kubernetes.api import Absent, Expired, Forbidden, Refused, Taken
from visiontune_trainer.compute.kubernetes.manifests import JOB_NAME_LABEL
from visiontune_trainer.domain.problems import BackendUnavailable

from tests.support.kubernetes_values import time_text
from tests.support.kustomize import K8S
from tests.support.trainer_values import NOW

Object = dict[str, Any]
# Verbs and kinds that the trainer's Role allows.
GRANTED = frozenset(
    (verb, kind)
    for each in yaml.safe_load_all((K8S / "base" / "rbac.yaml").read_text("utf-8"))
    for rule in each.get("rules", ())
    for kind in rule["resources"]
    for verb in rule["verbs"]
)


class Answered(Exception):  # noqa: N818 - an HTTP answer that is no success
    def __init__(self, code: int, message: str, retry_after: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


@dataclass
class Fault:
    """What happens to the next call with this verb: nothing arrives, or the answer is lost, or `code`."""

    verb: str
    code: int = 0  # 0: the connection breaks
    does_it: bool = False  # the call has its effect, and only its answer is lost
    message: str = "scripted"
    retry_after: str = ""
    kind: str = ""  # of the call; empty for any


@dataclass
class Cluster:
    """The objects, and a log of what happened to them."""

    now: datetime = NOW
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    log: list[tuple[int, str, str, Object]] = field(default_factory=list)  # version, kind, event, object
    forgotten: int = 0  # versions up to this one can be watched from no more
    faults: list[Fault] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    published: dict[str, Object] = field(default_factory=dict)
    version: int = 1
    asked: set[tuple[str, str]] = field(default_factory=set)  # rights that the trainer has used
    changed: threading.Condition = field(default_factory=threading.Condition)

    # What the API server does.

    def admit(self, verb: str, kind: str) -> None:
        """The trainer asks, and needs a right."""
        if kind == "raw":
            return  # What the server publishes is for every account.
        self.asked.add((verb, kind))
        if (verb, kind) not in GRANTED:
            raise Answered(403, f'User "trainer" cannot {verb} resource "{kind}"')

    def call(self, verb: str, kind: str, name: str = "", body: Any = None, selector: str = "") -> Object:
        with self.changed:
            self.calls[f"{verb} {kind}"] += 1
            fault = next(
                (each for each in self.faults if each.verb == verb and each.kind in {"", kind}), None
            )
            if fault is not None:
                self.faults.remove(fault)
                if fault.does_it:
                    self._do(verb, kind, name, body, selector)
                raise Answered(fault.code, fault.message, fault.retry_after)
            return self._do(verb, kind, name, body, selector)

    def _do(self, verb: str, kind: str, name: str, body: Any, selector: str) -> Object:
        if kind == "raw":
            return self.published[name]
        if verb == "list":
            wanted = dict(pair.split("=", 1) for pair in selector.split(",") if pair)
            items = [
                each
                for (of_kind, _), each in self.objects.items()
                if of_kind == kind and wanted.items() <= (each["metadata"].get("labels") or {}).items()
            ]
            return {"items": copy.deepcopy(items), "metadata": {"resourceVersion": str(self.version)}}
        if verb == "create":
            return self._create(kind, body)
        found = self.objects.get((kind, name))
        if found is None:
            raise Answered(404, f"{kind} {name} not found")
        if verb == "delete":
            wanted_uid = (body.get("preconditions") or {}).get("uid")
            if wanted_uid not in {None, found["metadata"]["uid"]}:
                raise Answered(409, "the UID in the precondition does not match")
            self._delete(kind, found, now=body.get("gracePeriodSeconds") == 0)
        return copy.deepcopy(found)

    def _create(self, kind: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        if (kind, name) in self.objects:
            raise Answered(409, f'{kind} "{name}" already exists')
        made = copy.deepcopy(body)
        made["metadata"] |= {"uid": f"{kind}-{self.version}", "creationTimestamp": time_text(self.now)}
        made.setdefault("status", {})
        self.put(kind, made, "ADDED")
        return copy.deepcopy(made)

    def _delete(self, kind: str, found: Object, *, now: bool) -> None:
        if kind == "pods" and not now:
            grace = timedelta(seconds=found["spec"].get("terminationGracePeriodSeconds", 30))
            found["metadata"].setdefault("deletionTimestamp", time_text(self.now + grace))
            self.put(kind, found)
            return
        self.remove(kind, found["metadata"]["name"])
        if kind == "jobs":
            for owned in [each for each in self.objects.values() if owner(each) == found["metadata"]["uid"]]:
                of_kind = "pods" if "containers" in owned["spec"] else "services"
                self._delete(of_kind, owned, now=of_kind == "services")

    def put(self, kind: str, changed: Object, event: str = "MODIFIED") -> None:
        with self.changed:
            self.version += 1
            changed["metadata"]["resourceVersion"] = str(self.version)
            self.objects[kind, changed["metadata"]["name"]] = changed
            self.log.append((self.version, kind, event, copy.deepcopy(changed)))
            self.changed.notify_all()

    def remove(self, kind: str, name: str) -> None:
        with self.changed:
            gone = self.objects.pop((kind, name), None)
            if gone is not None:
                self.version += 1
                gone["metadata"]["resourceVersion"] = str(self.version)
                self.log.append((self.version, kind, "DELETED", copy.deepcopy(gone)))
                self.changed.notify_all()

    def events_since(self, kind: str, version: int) -> list[Object]:
        if version < self.forgotten:
            raise Answered(410, "too old resource version")
        return [
            {"type": event, "object": copy.deepcopy(changed)}
            for at, of_kind, event, changed in self.log
            if at > version and of_kind == kind
        ]

    # What controllers, the scheduler and kubelets do.

    def all(self, kind: str) -> list[Object]:
        return [each for (of_kind, _), each in self.objects.items() if of_kind == kind]

    def pods_of(self, job: Object) -> list[Object]:
        return [pod for pod in self.all("pods") if owner(pod) == job["metadata"]["uid"]]

    def make_pods(self, job: Object) -> None:
        """The Job controller: the pods of a new Job."""
        metadata, template = job["metadata"], job["spec"]["template"]
        if self.pods_of(job) or job["spec"].get("suspend") or job["status"].get("conditions"):
            return
        for index in range(job["spec"]["completions"]):
            labels = {**template["metadata"]["labels"], JOB_NAME_LABEL: metadata["name"]}
            reference = {"kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
            pod = {
                "metadata": {
                    "name": f"{metadata['name']}-{index}-{self.version:05d}",
                    "namespace": metadata.get("namespace"),
                    "labels": labels,
                    "annotations": dict(template["metadata"]["annotations"]),
                    "ownerReferences": [reference],
                },
                "spec": copy.deepcopy(template["spec"]),
            }
            made = self._create("pods", pod)
            self.set_status(made["metadata"]["name"], phase="Pending")

    def set_status(self, pod_name: str, **status: Any) -> None:
        pod = self.objects["pods", pod_name]
        pod["status"] = {**pod.get("status", {}), **status}
        self.put("pods", pod)

    def run(self, pod: Object) -> None:
        """A node takes the pod and starts it."""
        ready = {"type": "Ready", "status": "True"}
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": time_text(self.now)}
        state = {"running": {"startedAt": time_text(self.now)}}
        self.set_status(
            pod["metadata"]["name"],
            phase="Running",
            conditions=[scheduled, ready],
            containerStatuses=[{"name": "worker", "ready": True, "state": state}],
        )

    def exit(self, pod: Object, code: int) -> None:
        """The pod's process ends; then the Job controller looks."""
        name = pod["metadata"]["name"]
        ended = {"exitCode": code, "finishedAt": time_text(self.now), "message": "last words"}
        statuses = [{"name": "worker", "ready": False, "state": {"terminated": ended}}]
        phase = "Failed" if code else "Succeeded"
        self.set_status(name, phase=phase, containerStatuses=statuses)
        job = self.objects.get(("jobs", pod["metadata"]["labels"][JOB_NAME_LABEL]))
        if job is not None and job["metadata"]["uid"] == owner(pod):
            self.judge(job, self.objects["pods", name], code)
        if pod["metadata"].get("deletionTimestamp"):
            self.remove("pods", name)

    def judge(self, job: Object, pod: Object, code: int) -> None:
        """The Job controller: what an ended pod means to its Job."""
        if job["status"].get("conditions"):
            return
        name = pod["metadata"]["name"]
        since = {"lastTransitionTime": time_text(self.now)}
        if code == 0:
            if any(each["status"]["phase"] != "Succeeded" for each in self.pods_of(job)):
                return
            conditions = [{"type": "Complete", "status": "True"}]
        elif any(each["type"] == "DisruptionTarget" for each in pod["status"]["conditions"]):
            conditions = _failed(
                f"Pod {name} has condition DisruptionTarget matching FailJob rule at index 0"
            )
        elif code in {64, 65, 75, 78}:
            rule = 2 if code == 75 else 1
            said = f"Container worker for pod {name} failed with exit code {code}"
            conditions = _failed(f"{said} matching FailJob rule at index {rule}")
        else:
            conditions = _failed("Job has reached the specified backoff limit", "BackoffLimitExceeded")
        job["status"]["conditions"] = [{**each, **since} for each in conditions]
        self.put("jobs", job)
        for peer in self.pods_of(job):
            if peer["status"]["phase"] in {"Pending", "Running"}:
                self._delete("pods", peer, now=False)

    def disrupt(self, pod: Object, reason: str = "PreemptionByScheduler") -> None:
        """Somebody takes the pod's place away; its process has not heard yet."""
        conditions = pod["status"].get("conditions", [])
        target = {"type": "DisruptionTarget", "status": "True", "reason": reason}
        self.set_status(pod["metadata"]["name"], conditions=[*conditions, target])
        self._delete("pods", self.objects["pods", pod["metadata"]["name"]], now=False)


def owner(one: Object) -> str:
    return next((each["uid"] for each in one["metadata"].get("ownerReferences") or []), "")


def _failed(message: str, reason: str = "PodFailurePolicy") -> list[Object]:
    return [{"type": "Failed", "status": "True", "reason": reason, "message": message}]


_REFUSALS = {403: Forbidden, 404: Absent, 409: Taken, 410: Expired}


class FakeApi:
    """`api.Api` without HTTP, for tests of many steps."""

    def __init__(self, cluster: Cluster, namespace: str = "visiontune-jobs") -> None:
        self.namespace = namespace
        self._cluster = cluster

    def _call(self, verb: str, kind: str, name: str = "", body: Any = None, selector: str = "") -> Object:
        try:
            self._cluster.admit(verb, kind)
            return self._cluster.call(verb, kind, name, body, selector)
        except Answered as answer:
            if answer.code in _REFUSALS:
                raise _REFUSALS[answer.code](str(answer)) from None
            if 400 <= answer.code < 500 and answer.code != 429:
                raise Refused(str(answer)) from None
            raise BackendUnavailable(str(answer)) from None

    def list(self, kind: str, selector: str = "") -> Object:
        return self._call("list", kind, selector=selector)

    def get(self, kind: str, name: str) -> Object | None:
        try:
            return self._call("get", kind, name)
        except Absent:
            return None

    def create(self, kind: str, manifest: Object) -> Object:
        return self._call("create", kind, body=manifest)

    def delete(self, kind: str, name: str, uid: str, *, now: bool = False) -> None:
        options: Object = {"preconditions": {"uid": uid}, **({"gracePeriodSeconds": 0} if now else {})}
        try:
            self._call("delete", kind, name, options)
        except (Absent, Taken):
            return

    def read(self, path: str) -> Object:
        return self._call("get", "raw", path)

    def watch(self, kind: str, version: str, selector: str = "") -> Iterator[Object]:
        """All that has happened so far; then the watch ends."""
        self._cluster.published.setdefault("/watch", {})
        self._cluster.admit("watch", kind)
        self._call("watch", "raw", "/watch")
        yield {}
        try:
            yield from self._cluster.events_since(kind, int(version))
        except Answered as gone:
            raise Expired(str(gone)) from None


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    stopping: threading.Event
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        length = int(self.headers.get("content-length", 0))
        text = self.rfile.read(length)
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        kind, name = _of_path(url.path)
        verbs = {"POST": "create", "DELETE": "delete", "GET": "get" if name else "list"}
        try:
            if query.get("watch"):
                self.cluster.admit("watch", kind)
                self.cluster.call("watch", "raw", "/watch")
                self._stream(kind, int(query["resourceVersion"]))
                return
            body = json.loads(text) if text else None
            verb = verbs[self.command]
            self.cluster.admit(verb, kind)
            answer = self.cluster.call(verb, kind, name, body, query.get("labelSelector", ""))
            self._send(201 if self.command == "POST" else 200, answer)
        except Answered as refusal:
            if not refusal.code:
                self.close_connection = True
                return
            status = {"kind": "Status", "code": refusal.code, "message": str(refusal)}
            self._send(refusal.code, status, refusal.retry_after)

    def _send(self, code: int, answer: Object, retry_after: str = "") -> None:
        text = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(text)

    def _stream(self, kind: str, version: int) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while not self.stopping.is_set():
            try:
                events = self.cluster.events_since(kind, version)
            except Answered as gone:
                events = [{"type": "ERROR", "object": {"code": gone.code, "message": str(gone)}}]
            for event in events:
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                if event["type"] == "ERROR":
                    return
                version = int(event["object"]["metadata"]["resourceVersion"])
            with self.cluster.changed:
                self.cluster.changed.wait(0.02)
            if any(fault.verb == "cut" for fault in self.cluster.faults):
                self.cluster.faults[:] = [fault for fault in self.cluster.faults if fault.verb != "cut"]
                return

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - named by the base class

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    """The cluster's API over HTTP on a loopback port, watches included; yields its address."""
    stopping = threading.Event()
    handler = type("Handler", (_Handler,), {"cluster": cluster, "stopping": stopping})
    cluster.published.setdefault("/watch", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _of_path(path: str) -> tuple[str, str]:
    """Kind and name of a path of the API; kind `raw` for what the server publishes."""
    parts = path.strip("/").split("/")
    if "namespaces" not in parts:
        return "raw", path
    rest = parts[parts.index("namespaces") + 2 :]
    return rest[0], rest[1] if len(rest) > 1 else ""


def kubeconfig(address: str) -> str:
    """A kubeconfig for a server without TLS."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": address}}],
            "users": [{"name": "test", "user": {"token": "trainer-token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
    )
