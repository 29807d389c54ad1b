"""All Jobs and pods that the trainer ever made in a cluster, with the times of what happened to them."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from tests.cluster.api import Api, ApiError, Resource

SELECTOR = "app.kubernetes.io/managed-by=visiontune"
ENDED = frozenset({"Succeeded", "Failed"})


@dataclass
class PodRecord:
    """One pod. Times are this machine's, of when the news came; None for what has not happened."""

    name: str
    uid: str
    attempt: str
    index: str
    gpus: int
    created_at: float
    node: str = ""
    placed_at: float | None = None
    ended_at: float | None = None  # its processes have ended


@dataclass
class Recorder:
    """Watches from threads of its own; what was recorded stays when the objects go."""

    api: Api
    pods: dict[str, PodRecord] = field(default_factory=dict)  # by uid
    jobs: dict[str, str] = field(default_factory=dict)  # uid -> attempt
    _stopped: threading.Event = field(default_factory=threading.Event)

    def pod(self, attempt: str, index: str = "0") -> PodRecord:
        """The only pod of an attempt's rank."""
        (found,) = [pod for pod in list(self.pods.values()) if (pod.attempt, pod.index) == (attempt, index)]
        return found

    @contextmanager
    def recording(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._follow, args=(kind,)) for kind in ("jobs", "pods")]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _follow(self, kind: str) -> None:
        version = ""
        while not self._stopped.is_set():
            try:
                if not version:
                    found = self.api.list(kind, labelSelector=SELECTOR)
                    version = found["metadata"]["resourceVersion"]
                    for each in found["items"]:
                        self._see(kind, "ADDED", each)
                for change, each in self.api.watch(kind, version, labelSelector=SELECTOR):
                    if change == "ERROR":
                        version = ""
                        break
                    version = each["metadata"]["resourceVersion"]
                    self._see(kind, change, each)
            except (ApiError, httpx.TransportError):
                self._stopped.wait(0.2)

    def _see(self, kind: str, change: str, one: Resource) -> None:
        now, metadata = time.time(), one["metadata"]
        job = metadata.get("annotations", {}).get("visiontune.dev/training-job", "")
        attempt = f"{job}/attempts/{metadata['labels']['visiontune.dev/attempt']}"
        if kind == "jobs":
            self.jobs[metadata["uid"]] = attempt
            return
        pod = self.pods.setdefault(metadata["uid"], _record(one, attempt, now))
        if pod.placed_at is None and one["spec"].get("nodeName"):
            pod.node, pod.placed_at = one["spec"]["nodeName"], now
        if pod.ended_at is None and (change == "DELETED" or one["status"].get("phase") in ENDED):
            pod.ended_at = now


def _record(pod: Resource, attempt: str, now: float) -> PodRecord:
    metadata = pod["metadata"]
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    index = metadata["annotations"]["batch.kubernetes.io/job-completion-index"]
    return PodRecord(
        metadata["name"], metadata["uid"], attempt, index, int(limits.get("nvidia.com/gpu", 0)), now
    )


@dataclass(frozen=True)
class Place:
    """What one pod needs, from the moment in which somebody wants it."""

    gpus: int
    wanted_at: float
    placed_at: float
    freed_at: float
    node: str


def longest_idle(places: Sequence[Place], room: Mapping[str, int]) -> float:
    """Longest time, in seconds, for which the first pod that waited would have fitted and was not placed.

    room: accelerators by node.
    """
    longest, since, before = 0.0, 0.0, None
    moments = sorted({at for place in places for at in (place.wanted_at, place.placed_at, place.freed_at)})
    for at, until in pairwise(moments):
        first = min(
            (place for place in places if place.wanted_at <= at < place.placed_at),
            key=lambda place: (place.wanted_at, place.placed_at),
            default=None,
        )
        if first is None or max(_free(places, room, at)) < first.gpus:
            before = None
            continue
        if first is not before:
            before, since = first, at
        longest = max(longest, until - since)
    return longest


def _free(places: Iterable[Place], room: Mapping[str, int], at: float) -> list[int]:
    """Accelerators that nobody holds, a number a node."""
    free = dict(room)
    for place in places:
        if place.placed_at <= at < place.freed_at:
            free[place.node] -= place.gpus
    return list(free.values())
