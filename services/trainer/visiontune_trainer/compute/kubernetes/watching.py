"""What the API server has, kept up to date: one cache and one thread a kind."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from visiontune_kit import logs

from visiontune_trainer.compute.kubernetes.api import Api, Expired, Pauses, Refused
from visiontune_trainer.domain.problems import BackendUnavailable

Object = dict[str, Any]

# Between two watches, so that a server that ends each at once is not stormed.
_BREATH_S = 0.1

log = logs.get(__name__)


class Cache:
    """Objects of one kind, in groups. Safe from any thread; what is read is not to be changed.

    keeps_deleted: objects that vanish stay until their group is forgotten, for what they say last.
    """

    def __init__(self, group_of: Callable[[Object], str], *, keeps_deleted: bool = False) -> None:
        self._group_of = group_of
        self._keeps_deleted = keeps_deleted
        self._lock = threading.Lock()
        self._groups: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        self._deleted: set[str] = set()
        self.is_current = False  # True while the server's changes arrive

    def replace(self, objects: Iterable[Object]) -> None:
        """Takes a whole list; what is missing in it has been deleted."""
        listed = {_uid(each): each for each in objects}
        with self._lock:
            for each in self._all():
                if _uid(each) not in listed:
                    self._remove(each)
            for each in listed.values():
                self._groups[self._group_of(each)][_uid(each)] = each

    def apply(self, kind: str, changed: Object) -> None:
        """Takes one event of a watch."""
        with self._lock:
            if kind == "DELETED":
                self._groups[self._group_of(changed)][_uid(changed)] = changed
                self._remove(changed)
            elif kind in {"ADDED", "MODIFIED"}:
                self._groups[self._group_of(changed)][_uid(changed)] = changed

    def put(self, made: Object) -> None:
        """Takes what a call of our own returned, unless the watch was quicker."""
        with self._lock:
            self._groups[self._group_of(made)].setdefault(_uid(made), made)

    def forget(self, group: str) -> None:
        """Forgets a group's objects."""
        with self._lock:
            self._deleted.difference_update(self._groups.pop(group, {}))

    def of(self, group: str) -> list[Object]:
        """Objects of a group, those that have vanished included if they are kept."""
        with self._lock:
            return list(self._groups.get(group, {}).values())

    def existing(self) -> list[Object]:
        """All objects that exist."""
        with self._lock:
            return [each for each in self._all() if _uid(each) not in self._deleted]

    def groups(self) -> list[str]:
        """Names of the groups of which something is known."""
        with self._lock:
            return list(self._groups)

    def exists(self, one: Object) -> bool:
        """False for a kept object that has vanished."""
        return _uid(one) not in self._deleted

    def _all(self) -> list[Object]:
        return [each for group in self._groups.values() for each in group.values()]

    def _remove(self, one: Object) -> None:
        group = self._group_of(one)
        if self._keeps_deleted:
            self._deleted.add(_uid(one))
            return
        self._groups[group].pop(_uid(one), None)
        if not self._groups[group]:
            del self._groups[group]


class Watcher:
    """Keeps a cache up to date from a thread of its own, which ends with the program."""

    def __init__(self, api: Api, kind: str, cache: Cache, selector: str = "") -> None:
        self._api = api
        self._kind = kind
        self._cache = cache
        self._selector = selector
        self._stop = threading.Event()
        self._pauses = Pauses()
        self._version = ""
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind}", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it at the next event or end of a watch; waits for neither."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.step()
            self._stop.wait(max(self._pauses.left_s, _BREATH_S))

    def step(self) -> None:
        """Lists if need be, then watches until the watch ends."""
        try:
            if not self._version:
                found = self._api.list(self._kind, self._selector)
                self._cache.replace(found.get("items") or [])
                self._version = found["metadata"]["resourceVersion"]
            self._follow()
        except Expired:
            self._version = ""  # Listing anew shows what was missed, deletions too.
        except (BackendUnavailable, Refused) as error:
            self._cache.is_current = False
            self._pauses.failed(None)
            log.warning("watch_lost", kind=self._kind, error=str(error))

    def _follow(self) -> None:
        for event in self._api.watch(self._kind, self._version, self._selector):
            self._pauses.succeeded()
            self._cache.is_current = True
            if self._stop.is_set():
                return
            if event:
                self._cache.apply(event["type"], event["object"])  # A bookmark changes nothing.
                self._version = event["object"]["metadata"]["resourceVersion"]


def _uid(one: Object) -> str:
    return str(one["metadata"]["uid"])
