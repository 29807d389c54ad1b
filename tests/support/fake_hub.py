"""The upload endpoints of a model hub: a double at a process border, for pushes that nobody else shall see.

It keeps what huggingface_hub 2.4 asks without its binary protocol (HF_HUB_DISABLE_XET=1): a repository is
made, each file is a small one inside the commit or a large one that is PUT by its digest first. It checks the
token and the digests; it knows nothing of branches.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.scripted_http import Answer, Seen, as_json, scripted

TOKEN = "hf_secret"


@dataclass
class Hub:
    """Repositories by name: whether they are private, and their files."""

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # by sha256
    puts: int = 0
    failing_puts: int = 0  # so many of the next ones

    def answer(self, seen: Seen) -> Answer:
        if seen.path.startswith("/large/"):
            return self._put(seen)
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return as_json({"error": "no"}, 401)
        if seen.path == "/api/repos/create":
            return self._create(seen.json)
        if seen.path == "/api/validate-yaml":
            return as_json({"errors": [], "warnings": []})
        for name in self.files:
            if seen.path == f"/{name}.git/info/lfs/objects/batch":
                return as_json({"objects": [self._object(each) for each in seen.json["objects"]]})
            if seen.path == f"/api/models/{name}/preupload/main":
                return as_json({"files": [_mode(each["path"]) for each in seen.json["files"]]})
            if seen.path == f"/api/models/{name}/commit/main":
                return self._commit(name, seen.body)
        return as_json({"error": f"{seen.method} {seen.path}"}, 404)

    def _create(self, asked: dict[str, Any]) -> Answer:
        if asked["organization"] != "me":
            return as_json({"error": "not yours"}, 403)
        name = f"me/{asked['name']}"
        if name in self.files:
            return as_json({"error": "it is there", "url": f"{self.url}/{name}"}, 409)
        self.private[name], self.files[name] = asked["visibility"] == "private", {}
        return as_json({"url": f"{self.url}/{name}"})

    def _object(self, wanted: dict[str, Any]) -> dict[str, Any]:
        upload = {"upload": {"href": f"{self.url}/large/{wanted['oid']}"}}
        return wanted if wanted["oid"] in self.large else {**wanted, "actions": upload}

    def _put(self, seen: Seen) -> Answer:
        if self.failing_puts:
            self.failing_puts -= 1
            return Answer(400)
        self.puts += 1
        digest = seen.path.rpartition("/")[2]
        assert hashlib.sha256(seen.body).hexdigest() == digest
        self.large[digest] = seen.body
        return Answer()

    def _commit(self, name: str, body: bytes) -> Answer:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[name][value["path"]] = self.large[value["oid"]]
        return as_json(
            {"success": True, "commitOid": "c0ffee", "commitUrl": f"{self.url}/{name}/commit/c0ffee"}
        )


def _mode(path: str) -> dict[str, Any]:
    mode = "lfs" if path.endswith(".safetensors") else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serves until the block ends."""
    hub = Hub()
    with scripted(hub.answer) as server:
        hub.url = server.url
        yield hub
