"""The Kubernetes API as plain dicts over HTTP: all that the test nodes and the tests need of a client."""

import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

Resource = dict[str, Any]

GROUPS: Mapping[str, str] = {
    "jobs": "/apis/batch/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "priorityclasses": "/apis/scheduling.k8s.io/v1",
    "selfsubjectaccessreviews": "/apis/authorization.k8s.io/v1",
}
STRATEGIC = "application/strategic-merge-patch+json"
WATCH_S = 5  # short, so that a watcher that is asked to stop does so soon


class ApiError(Exception):
    """The server refused: its HTTP status, and its own reason and words."""

    def __init__(self, code: int, body: str) -> None:
        status = json.loads(body) if body.startswith("{") else {}
        self.code, self.reason = code, status.get("reason", "")
        super().__init__(f"{code} {self.reason}: {status.get('message', body)}")


class Api:
    """One caller of one API server. `warnings` are those that the server sent, in order."""

    def __init__(self, url: str, trust: ssl.SSLContext, token: str, **impersonated: str) -> None:
        self.url, self._trust, self._token = url, trust, token
        headers = {"Authorization": f"Bearer {token}", **impersonated}
        self.warnings: list[str] = []
        # The read of a watch lasts as long as the server was asked to hold it.
        timeout = httpx.Timeout(10, read=WATCH_S + 10)
        self._http = httpx.Client(base_url=url, verify=trust, headers=headers, timeout=timeout)

    def as_token(self, token: str) -> "Api":
        """Return the same server, called with this token."""
        return Api(self.url, self._trust, token)

    def as_node(self, name: str) -> "Api":
        """Return the same server, called as the kubelet of a node: no more is allowed than to a real one."""
        headers = {"Impersonate-User": f"system:node:{name}", "Impersonate-Group": "system:nodes"}
        return Api(self.url, self._trust, self._token, **headers)

    def close(self) -> None:
        self._http.close()

    def call(
        self, method: str, path: str, body: Any = None, media: str = "application/json", **query: Any
    ) -> str:
        """Send one request; return the text of the answer. Raises ApiError, httpx.TransportError."""
        content = None if body is None else json.dumps(body)
        answer = self._http.request(
            method, path, content=content, headers={"Content-Type": media}, params=query
        )
        self.warnings += answer.headers.get_list("warning")
        if answer.is_error:
            raise ApiError(answer.status_code, answer.text)
        return answer.text

    def get(self, kind: str, name: str, namespace: str = "") -> Resource:
        return dict(json.loads(self.call("GET", path(kind, namespace, name))))

    def find(self, kind: str, name: str, namespace: str = "") -> Resource | None:
        """Return the resource, or None when the server says that there is none."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "", **query: Any) -> Resource:
        return dict(json.loads(self.call("GET", path(kind, namespace), **query)))

    def create(
        self, kind: str, body: Resource, namespace: str = "", name: str = "", **query: Any
    ) -> Resource:
        """Create; `name` may end in a subresource, as `default/token` of serviceaccounts."""
        return dict(json.loads(self.call("POST", path(kind, namespace, name), body, **query)))

    def patch(self, kind: str, name: str, body: Resource, namespace: str = "") -> Resource:
        """Apply a strategic merge patch; `name` may end in a subresource."""
        return dict(json.loads(self.call("PATCH", path(kind, namespace, name), body, STRATEGIC)))

    def delete(self, kind: str, name: str, namespace: str = "", options: Resource | None = None) -> None:
        self.call("DELETE", path(kind, namespace, name), options or {"propagationPolicy": "Background"})

    def watch(self, kind: str, version: str, **query: Any) -> Iterator[tuple[str, Resource]]:
        """Yield type and object of each change after `version`, until the server ends the watch."""
        query |= {"watch": "true", "resourceVersion": version, "timeoutSeconds": WATCH_S}
        with self._http.stream("GET", path(kind), params=query) as answer:
            if answer.is_error:
                raise ApiError(answer.status_code, answer.read().decode())
            for line in answer.iter_lines():
                event = json.loads(line)
                yield event["type"], event["object"]


def path(kind: str, namespace: str = "", name: str = "") -> str:
    """Return the URL's path of a collection, a resource or a subresource."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{GROUPS.get(kind, '/api/v1')}{within}/{kind}" + (f"/{name}" if name else "")
