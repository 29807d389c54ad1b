"""Calls of the API server and what its answers mean, over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from visiontune_trainer.compute.kubernetes import api as api_module
from visiontune_trainer.compute.kubernetes.api import Api, Expired, Forbidden, Pauses, Refused, Taken, connect
from visiontune_trainer.compute.kubernetes.watching import Cache, Watcher
from visiontune_trainer.domain.problems import BackendUnavailable

from tests.support.eventually import eventually
from tests.support.fake_kubernetes import Cluster, Fault, kubeconfig
from tests.support.kubernetes_values import make_job

CONNECT = Callable[[], Api]


@pytest.fixture
def api(connected: CONNECT, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(api_module, "_FIRST_PAUSE_S", 0.0)
    return connected()


def job_named(name: str) -> dict[str, Any]:
    job = make_job()
    return {**job, "metadata": {**job["metadata"], "name": name, "uid": ""}}


def test_what_was_made_can_be_read_listed_and_deleted(api: Api) -> None:
    made = api.create("jobs", job_named("a"))
    assert api.get("jobs", "a") == made
    assert [each["metadata"]["name"] for each in api.list("jobs")["items"]] == ["a"]
    assert api.list("jobs", "app.kubernetes.io/managed-by=somebody")["items"] == []
    api.delete("jobs", "a", made["metadata"]["uid"])
    assert api.get("jobs", "a") is None


def test_only_the_very_object_is_deleted(api: Api) -> None:
    made = api.create("jobs", job_named("a"))
    api.delete("jobs", "a", "another-uid")
    assert api.get("jobs", "a") == made
    api.delete("jobs", "b", "any")


@pytest.mark.parametrize(
    ("code", "error"), [(403, Forbidden), (409, Taken), (410, Expired), (422, Refused), (400, Refused)]
)
def test_a_no_is_told_apart(api: Api, cluster: Cluster, code: int, error: type[Exception]) -> None:
    cluster.faults.append(Fault("create", code, message="because"))
    with pytest.raises(error, match="because"):
        api.create("jobs", job_named("a"))


@pytest.mark.parametrize("code", [0, 401, 429, 500, 503])
def test_trouble_says_nothing_about_the_call(api: Api, cluster: Cluster, code: int) -> None:
    cluster.faults.append(Fault("create", code, does_it=True))
    with pytest.raises(BackendUnavailable):
        api.create("jobs", job_named("a"))
    assert ("jobs", "a") in cluster.objects
    assert cluster.calls["create jobs"] == 1, "a call whose effect is unknown is not repeated by itself"


def test_a_server_that_asks_for_time_gets_it(api: Api, cluster: Cluster) -> None:
    cluster.faults.append(Fault("get", 429, retry_after="20"))
    for _ in range(3):
        with pytest.raises(BackendUnavailable):
            api.get("jobs", "a")
    assert cluster.calls["get jobs"] == 1


def test_nobody_there_is_trouble_too(tmp_path: Any) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://127.0.0.1:9"))
    with pytest.raises(BackendUnavailable, match="did not answer"):
        connect(str(path), "visiontune-jobs").get("jobs", "a")


def test_pauses_grow_until_an_answer_comes() -> None:
    now_s = 0.0
    pauses = Pauses(lambda: now_s)
    lengths = []
    for _ in range(9):
        pauses.failed(None)
        lengths.append(pauses.left_s)
    assert 0.25 <= lengths[0] <= 0.5
    assert 15 <= lengths[-1] <= 30
    pauses.failed(7.0)
    assert pauses.left_s == 7.0
    now_s = 7.0
    assert pauses.left_s == 0.0
    pauses.failed(60.0)
    pauses.succeeded()
    assert pauses.left_s == 0.0


@pytest.fixture
def cache() -> Cache:
    return Cache(lambda one: str(one["metadata"]["name"]))


@pytest.fixture
def watcher(connected: CONNECT, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(api_module, "_FIRST_PAUSE_S", 0.01)
    watcher = Watcher(connected(), "jobs", cache)
    watcher.start()
    yield watcher
    watcher.stop()


def names(cache: Cache) -> list[str]:
    return sorted(each["metadata"]["name"] for each in cache.existing())


async def until_seen(cache: Cache, *expected: str) -> None:
    await eventually(lambda: cache.is_current and names(cache) == list(expected))


async def test_a_watch_shows_what_happens(cluster: Cluster, cache: Cache, watcher: Watcher) -> None:
    cluster.call("create", "jobs", body=job_named("a"))
    await until_seen(cache, "a")
    cluster.call("create", "jobs", body=job_named("b"))
    await until_seen(cache, "a", "b")
    cluster.remove("jobs", "a")
    await until_seen(cache, "b")
    assert cluster.calls["list jobs"] == 1


async def test_a_watch_that_is_cut_goes_on_where_it_was(
    cluster: Cluster, cache: Cache, watcher: Watcher
) -> None:
    cluster.call("create", "jobs", body=job_named("a"))
    await until_seen(cache, "a")
    cluster.faults.append(Fault("cut"))
    await eventually(lambda: not cluster.faults)
    cluster.call("create", "jobs", body=job_named("b"))
    await until_seen(cache, "a", "b")
    assert cluster.calls["list jobs"] == 1


@pytest.mark.parametrize("as_status", [True, False], ids=["status", "event"])
async def test_a_version_that_is_gone_is_listed_anew_deletions_too(
    cluster: Cluster, cache: Cache, watcher: Watcher, as_status: bool
) -> None:
    cluster.call("create", "jobs", body=job_named("a"))
    await until_seen(cache, "a")
    with cluster.changed:
        del cluster.objects["jobs", "a"]  # The event of it is among those that are forgotten.
        cluster.version += 5
        cluster.forgotten = cluster.version
        if as_status:
            cluster.faults += [Fault("cut"), Fault("watch", 410)]
    cluster.call("create", "jobs", body=job_named("b"))
    await until_seen(cache, "b")
    assert cluster.calls["list jobs"] >= 2


async def test_a_server_that_fails_is_asked_again_and_until_then_nothing_is_known(
    cluster: Cluster, cache: Cache, watcher: Watcher
) -> None:
    await eventually(lambda: cache.is_current)
    cluster.faults += [Fault("cut"), *[Fault("watch", code) for code in (500, 503, 0, 429, 401)]]
    await eventually(lambda: not cache.is_current)
    cluster.call("create", "jobs", body=job_named("a"))
    await until_seen(cache, "a")


async def test_a_right_that_is_missing_does_not_end_the_watch(
    connected: CONNECT, cluster: Cluster, cache: Cache
) -> None:
    cluster.faults.append(Fault("list", 403, message="jobs is forbidden"))
    watcher = Watcher(connected(), "jobs", cache)
    watcher.step()
    assert not cache.is_current
    watcher.start()
    await eventually(lambda: cache.is_current)
    watcher.stop()


def test_a_cache_keeps_the_last_word_of_what_vanished_when_asked_to() -> None:
    cache = Cache(lambda one: "group", keeps_deleted=True)
    pod = {"metadata": {"name": "p", "uid": "u"}, "status": {}}
    cache.replace([pod])
    last = {**pod, "status": {"phase": "Failed"}}
    cache.apply("DELETED", last)
    assert cache.of("group") == [last]
    assert cache.existing() == []
    assert not cache.exists(pod)
    cache.forget("group")
    assert cache.of("group") == []
    assert cache.groups() == []
    cache.replace([pod])
    assert cache.existing() == [pod]


def test_what_we_made_ourselves_does_not_hide_what_the_watch_brought() -> None:
    cache = Cache(lambda one: "group")
    newer = {"metadata": {"uid": "u", "resourceVersion": "2"}}
    cache.apply("ADDED", newer)
    cache.put({"metadata": {"uid": "u", "resourceVersion": "1"}})
    assert cache.of("group") == [newer]
