"""The API server, by the official client's connections: plain objects in and out, one call a method.

The client's own models are not used: they lose fields that they do not know.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config
from opentelemetry import metrics

from visiontune_trainer.domain.problems import BackendUnavailable

Object = dict[str, Any]

_PATHS: Mapping[str, str] = {
    "jobs": "/apis/batch/v1/namespaces/{}/jobs",
    "pods": "/api/v1/namespaces/{}/pods",
    "services": "/api/v1/namespaces/{}/services",
    "events": "/api/v1/namespaces/{}/events",
    "workloads": "/apis/kueue.x-k8s.io/v1beta2/namespaces/{}/workloads",
}
_CONNECT_S = 3.0
_READ_S = 15.0
# A server ends its watches by itself; only a dead connection is silent for longer.
_WATCH_S = 240
_WATCH_JITTER_S = 60
_WATCH_SLACK_S = 30
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The API server's answer was no. Never leaves this package."""


class Taken(Refused):
    """The name is taken."""


class Absent(Refused):
    """There is no such object, or no such namespace."""


class Forbidden(Refused):
    """A right is missing, or a quota is used up; the message tells which."""


class Expired(Refused):
    """The resource version is too old: list again."""


_REFUSALS: Mapping[int, type[Refused]] = {403: Forbidden, 404: Absent, 409: Taken, 410: Expired}


class Pauses:
    """How long to leave the API server alone: as long as it asks for, else longer after each failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def left_s(self) -> float:
        """Seconds to wait now."""
        return max(0.0, self._until - self._clock())

    def failed(self, retry_after_s: float | None) -> None:
        """Notes a failure."""
        pause_s = min(_FIRST_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S)
        jittered_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self._failures = min(self._failures + 1, 10)
        self._until = self._clock() + (jittered_s if retry_after_s is None else retry_after_s)

    def succeeded(self) -> None:
        """Notes an answer."""
        self._failures, self._until = 0, 0.0


class Api:
    """One connection to the API server, blocking; each thread that watches has its own.

    Calls raise BackendUnavailable when the server is away, busy or does not know us; nothing then is known
    about the call's effect. They raise Taken, Absent, Forbidden, Expired or Refused when it said no.
    """

    def __init__(self, connection: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._connection = connection
        self._pauses = Pauses()
        self._calls = metrics.get_meter("visiontune").create_counter(
            "kubernetes_api_calls", description="Calls of the API server by verb, kind and status code."
        )

    def list(self, kind: str, selector: str = "") -> Object:
        """Returns a list of objects with the version from which to watch on."""
        return self._call("GET", kind, selector=selector)

    def get(self, kind: str, name: str) -> Object | None:
        """Returns the object; None when the server says that there is none."""
        try:
            return self._call("GET", kind, name)
        except Absent:
            return None

    def create(self, kind: str, manifest: Object) -> Object:
        """Returns the object as made."""
        return self._call("POST", kind, body=manifest)

    def delete(self, kind: str, name: str, uid: str, *, now: bool = False) -> None:
        """Deletes this very object with what it owns; one that is gone, or was made anew, is left alone.

        now: without waiting for its node.
        """
        options: Object = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        if now:
            options["gracePeriodSeconds"] = 0
        try:
            self._call("DELETE", kind, name, body=options)
        except (Absent, Taken):
            return

    def read(self, path: str) -> Object:
        """Returns what the server publishes under a path."""
        return self._send("GET", path, "raw")

    def watch(self, kind: str, version: str, selector: str = "") -> Iterator[Object]:
        """Yields events since `version` until the server ends the watch; first an empty one: it is open."""
        timeout_s = _WATCH_S + random.randrange(_WATCH_JITTER_S)  # noqa: S311 - jitter
        query = {
            "labelSelector": selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(timeout_s),
        }
        path = _with(_PATHS[kind].format(self.namespace), query)
        response = self._open("GET", path, "watch", kind, read_s=timeout_s + _WATCH_SLACK_S)
        try:
            yield {}
            for line in response:
                event: Object = json.loads(line)
                if event.get("type") == "ERROR":
                    status = event.get("object", {})
                    raise _failure(int(status.get("code", 500)), status.get("message", ""))
                yield event
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise BackendUnavailable(f"The watch of {kind} broke: {error}.") from error
        finally:
            response.close()

    def _call(
        self, method: str, kind: str, name: str = "", *, selector: str = "", body: Any = None
    ) -> Object:
        path = _PATHS[kind].format(self.namespace) + (f"/{name}" if name else "")
        return self._send(method, _with(path, {"labelSelector": selector}), kind, body)

    def _send(self, method: str, path: str, kind: str, body: Any = None) -> Object:
        if self._pauses.left_s:
            raise BackendUnavailable(f"The API server is left alone for {self._pauses.left_s:.1f} s more.")
        response = self._open(method, path, method, kind, body)
        try:
            answer: Object = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._pauses.failed(None)
            raise BackendUnavailable(f"The API server's answer to {method} {kind} broke off.") from error
        self._pauses.succeeded()
        return answer

    def _open(
        self, method: str, path: str, verb: str, kind: str, body: Any = None, read_s: float = _READ_S
    ) -> urllib3.BaseHTTPResponse:
        # Else 406: the JWKS is served as application/jwk-set+json alone.
        headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
        self._connection.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        code = "none"
        try:
            url = self._connection.configuration.host + path
            timeout = (_CONNECT_S, read_s)
            answer = self._connection.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            response: urllib3.BaseHTTPResponse = answer.response
            code = str(response.status)
            if response.status < 300:
                return response
            raise self._failure_of(response, verb, kind)
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            self._pauses.failed(None)
            raise BackendUnavailable(f"The API server did not answer {verb} {kind}: {error}.") from error
        finally:
            self._calls.add(1, {"verb": verb, "kind": kind, "code": code})

    def _failure_of(
        self, response: urllib3.BaseHTTPResponse, verb: str, kind: str
    ) -> Refused | BackendUnavailable:
        try:
            message = json.loads(response.data).get("message", "")
        except (ValueError, AttributeError):
            message = ""
        failure = _failure(response.status, message or f"{verb} {kind}: HTTP {response.status}")
        if isinstance(failure, BackendUnavailable):
            self._pauses.failed(_seconds(response.headers.get("Retry-After")))
        else:
            self._pauses.succeeded()
        return failure


def connect(kubeconfig: str, namespace: str) -> Api:
    """Opens a connection by a kubeconfig, or by the pod's own account when that is empty."""
    settings = client.Configuration()
    if kubeconfig:
        config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
    else:
        config.load_incluster_config(client_configuration=settings)
    settings.retries = False  # What may be repeated is ours to tell.
    return Api(client.ApiClient(settings), namespace)


def _failure(code: int, message: str) -> Refused | BackendUnavailable:
    refusal = _REFUSALS.get(code)
    if refusal is not None:
        return refusal(message)
    if code in {401, 408, 429} or code >= 500:
        return BackendUnavailable(f"The API server answered {code}: {message}")
    return Refused(message)


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After header; None when there is none, or a date."""
    return min(float(text), _LONGEST_PAUSE_S) if text and text.isdecimal() else None


def _with(path: str, query: Mapping[str, str]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
