"""The backend against a cluster in memory, over HTTP: launch, look, stop, adopt, and every lost call."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from visiontune_kit.errors import Unauthenticated
from visiontune_trainer.compute.kubernetes import api as api_module
from visiontune_trainer.compute.kubernetes.api import Api
from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend
from visiontune_trainer.compute.kubernetes.manifests import name_of
from visiontune_trainer.compute.kubernetes.pod_tokens import PodIdentity
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.problems import BackendUnavailable, LaunchPostponed, LaunchRefused
from visiontune_trainer.ports import Launch

from tests.support.eventually import eventually
from tests.support.fake_kubernetes import GRANTED, Cluster, Fault
from tests.support.kubernetes_values import ATTEMPT, CHOICES, PLACES, make_launch
from tests.support.trainer_values import JOB
from tests.unit.trainer.kubernetes.conftest import ClusterClock

NAME = name_of(ATTEMPT, CHOICES.installation)
LAUNCH = make_launch()
TWO_NODES = make_launch(resources={"accelerator": "nvidia-l4", "accelerator_count": 4, "nodes": 2})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_FIRST_PAUSE_S", 0.0)


@pytest.fixture
async def another(cluster: Cluster, connected: Callable[[], Api]) -> AsyncIterator[KubernetesBackend]:
    """The backend of the next trainer."""
    made = KubernetesBackend(connected, PLACES, CHOICES, ClusterClock(cluster))
    yield made
    await made.close()


async def until(backend: KubernetesBackend, sight: Sight, attempt: str = ATTEMPT) -> Observation:
    async def seen() -> Observation | None:
        found = await backend.observe(attempt)
        return found if found.sight is sight else None

    found: Observation = await eventually(seen)
    return found


async def test_a_worker_is_launched_seen_and_stopped(backend: KubernetesBackend, cluster: Cluster) -> None:
    assert await until(backend, Sight.ABSENT)
    await backend.launch(LAUNCH)
    assert (await until(backend, Sight.ALIVE)).waiting == "Waits for its pods to be made."
    job = cluster.objects["jobs", NAME]
    cluster.make_pods(job)
    (pod,) = cluster.pods_of(job)
    cluster.run(pod)
    await eventually(_starts(backend))
    assert await backend.attempts() == [ATTEMPT]
    assert not await backend.stop(ATTEMPT)
    assert (await until(backend, Sight.ABSENT)).sight is Sight.ABSENT
    assert await backend.attempts() == [ATTEMPT], "its pod has its grace"
    cluster.exit(pod, 76)

    async def gone() -> bool:
        return await backend.stop(ATTEMPT) and await backend.attempts() == []

    await eventually(gone)


def _starts(backend: KubernetesBackend) -> Callable[[], Any]:
    async def started() -> bool:
        return (await backend.observe(ATTEMPT)).started_at is not None

    return started


async def test_one_worker_costs_one_call_when_nothing_goes_wrong(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    await until(backend, Sight.ABSENT)
    cluster.calls.clear()
    await backend.launch(LAUNCH)
    job = cluster.objects["jobs", NAME]
    cluster.make_pods(job)
    cluster.run(cluster.pods_of(job)[0])
    await eventually(_starts(backend))
    cluster.exit(cluster.pods_of(job)[0], 0)
    await until(backend, Sight.EXITED)
    assert await backend.attempts() == [], "a Job that has ended goes by itself"
    assert {call: count for call, count in cluster.calls.items() if call != "watch raw"} == {"create jobs": 1}


async def test_a_job_whose_end_is_settled_is_left_to_the_cluster_unless_a_pod_does_not_go(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    await until(backend, Sight.ABSENT)
    await backend.launch(LAUNCH)
    cluster.make_pods(cluster.objects["jobs", NAME])
    (pod,) = cluster.pods_of(cluster.objects["jobs", NAME])
    cluster.run(pod)
    await eventually(_starts(backend))
    job = cluster.objects["jobs", NAME]
    job["status"]["conditions"] = [
        {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}
    ]
    cluster.put("jobs", job)
    cluster.disrupt(cluster.objects["pods", pod["metadata"]["name"]])

    async def listed() -> list[str]:
        return await backend.attempts()

    async def is_left_alone() -> bool:
        return await listed() == []

    await eventually(is_left_alone)
    cluster.now += timedelta(hours=1)
    assert await eventually(listed) == [ATTEMPT]


async def test_the_cluster_says_how_it_ended(backend: KubernetesBackend, cluster: Cluster) -> None:
    await until(backend, Sight.ABSENT)
    await backend.launch(LAUNCH)
    job = cluster.objects["jobs", NAME]
    cluster.make_pods(job)
    (pod,) = cluster.pods_of(job)
    cluster.run(pod)
    cluster.disrupt(pod)
    cluster.exit(cluster.objects["pods", pod["metadata"]["name"]], 75)
    seen = await until(backend, Sight.EXITED)
    assert (seen.exit_code, seen.disrupted) == (75, True)
    assert seen.message == "A job of higher priority took the worker's place."


async def test_launching_again_adopts_what_is_there(
    backend: KubernetesBackend, another: KubernetesBackend, cluster: Cluster
) -> None:
    await backend.launch(LAUNCH)
    await another.launch(LAUNCH)
    assert len(cluster.all("jobs")) == 1
    assert (await until(another, Sight.ALIVE)).sight is Sight.ALIVE
    await eventually(another.attempts)
    assert await another.attempts() == [ATTEMPT]


async def test_a_job_of_another_life_makes_room(backend: KubernetesBackend, cluster: Cluster) -> None:
    await backend.launch(LAUNCH)
    old = cluster.objects["jobs", NAME]["metadata"]["uid"]
    await backend.launch(dataclasses.replace(LAUNCH, uid="uid-2"))
    new = cluster.objects["jobs", NAME]
    assert new["metadata"]["uid"] != old
    assert (await until(backend, Sight.ALIVE)).sight is Sight.ALIVE


async def test_several_nodes_meet_by_a_service_that_goes_with_the_job(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    await backend.launch(TWO_NODES)
    assert ("services", NAME) in cluster.objects
    await backend.stop(ATTEMPT)
    assert ("services", NAME) not in cluster.objects


async def test_one_node_needs_no_service(backend: KubernetesBackend, cluster: Cluster) -> None:
    await backend.launch(LAUNCH)
    assert cluster.all("services") == []


@pytest.mark.parametrize("kind", ["jobs", "services"])
@pytest.mark.parametrize("does_it", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize("code", [0, 429, 500])
async def test_a_lost_call_at_launch_leaves_one_job_and_one_service_in_the_end(
    backend: KubernetesBackend,
    another: KubernetesBackend,
    cluster: Cluster,
    kind: str,
    does_it: bool,
    code: int,
) -> None:
    cluster.faults.append(Fault("create", code, does_it=does_it, kind=kind))
    with pytest.raises(BackendUnavailable):
        await backend.launch(TWO_NODES)

    # The trainer dies here; the next one looks, and launches what is not there.
    async def launched() -> bool:
        if (await another.observe(ATTEMPT)).sight is Sight.ABSENT:
            await another.launch(TWO_NODES)
        return (await another.observe(ATTEMPT)).sight is Sight.ALIVE

    await eventually(launched)
    assert len(cluster.all("jobs")) == len(cluster.all("services")) == 1


@pytest.mark.parametrize("does_it", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize("code", [0, 409, 429, 500])
async def test_a_lost_call_at_the_end_is_made_again(
    backend: KubernetesBackend, cluster: Cluster, does_it: bool, code: int
) -> None:
    await backend.launch(LAUNCH)
    await until(backend, Sight.ALIVE)
    cluster.faults.append(Fault("delete", code, does_it=does_it))
    assert not await backend.stop(ATTEMPT)

    async def gone() -> bool:
        return await backend.stop(ATTEMPT)

    await eventually(gone)
    assert cluster.all("jobs") == []


@pytest.mark.parametrize("state", ["queued", "waiting", "running"])
async def test_a_server_that_is_away_makes_nothing_fail(
    backend: KubernetesBackend, cluster: Cluster, state: str
) -> None:
    await until(backend, Sight.ABSENT)
    if state != "queued":
        await backend.launch(LAUNCH)
        cluster.make_pods(cluster.objects["jobs", NAME])
    if state == "running":
        cluster.run(cluster.all("pods")[0])
        await eventually(_starts(backend))
    cluster.faults += [Fault("cut"), Fault("cut"), *[Fault("watch", 0)] * 8, *[Fault("get", 0)] * 2]
    seen = set()
    for _ in range(50):
        seen.add((await backend.observe(ATTEMPT)).sight)
    await eventually(lambda: not [fault for fault in cluster.faults if fault.verb == "watch"])
    expected = {Sight.UNREACHABLE, Sight.ABSENT if state == "queued" else Sight.ALIVE}
    assert seen <= expected
    await until(backend, Sight.ABSENT if state == "queued" else Sight.ALIVE)


async def test_what_cannot_be_seen_is_not_listed(backend: KubernetesBackend, cluster: Cluster) -> None:
    cluster.faults += [Fault("list", 0)] * 3
    with pytest.raises(BackendUnavailable):
        await backend.attempts()


async def test_a_quota_puts_the_launch_off_and_is_asked_for_now_and_then(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    said = 'jobs "x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, '
    said += "used: count/jobs.batch=9, limited: count/jobs.batch=9"
    cluster.faults.append(Fault("create", 403, message=said))
    for _ in range(3):
        with pytest.raises(LaunchPostponed, match="Quota q: 9 of 9 jobs used"):
            await backend.launch(LAUNCH)
    assert cluster.calls["create jobs"] == 1
    backend._postponed.clear()
    await backend.launch(LAUNCH)


async def test_a_right_that_is_missing_is_named(backend: KubernetesBackend, cluster: Cluster) -> None:
    said = 'User "trainer" cannot create resource "jobs" in API group "batch"'
    cluster.faults.append(Fault("create", 403, message=said))
    with pytest.raises(LaunchPostponed, match='cannot create resource "jobs"'):
        await backend.launch(LAUNCH)


async def test_a_namespace_that_is_missing_is_named(backend: KubernetesBackend, cluster: Cluster) -> None:
    cluster.faults.append(Fault("create", 404))
    with pytest.raises(LaunchPostponed, match="visiontune-jobs does not exist"):
        await backend.launch(LAUNCH)


async def test_a_job_that_the_cluster_cannot_read_is_refused(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    cluster.faults.append(Fault("create", 422, message="spec.template: Invalid value"))
    with pytest.raises(LaunchRefused, match="Invalid value"):
        await backend.launch(LAUNCH)


async def test_a_pod_on_a_node_that_does_not_answer_is_forced_out(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    await backend.launch(LAUNCH)
    job = cluster.objects["jobs", NAME]
    cluster.make_pods(job)
    (pod,) = cluster.pods_of(job)
    cluster.run(pod)
    cluster.disrupt(pod, "DeletionByTaintManager")
    await eventually(_starts(backend))
    cluster.now += timedelta(seconds=120 + 61)
    seen = await until(backend, Sight.EXITED)
    assert seen.disrupted

    async def gone() -> bool:
        return await backend.stop(ATTEMPT)

    await eventually(gone)
    assert cluster.all("pods") == cluster.all("jobs") == []


async def test_jobs_of_others_are_left_alone(backend: KubernetesBackend, cluster: Cluster) -> None:
    foreign = {"metadata": {"name": "theirs", "labels": {"app": "x"}}, "spec": {"completions": 1}}
    cluster.call("create", "jobs", body=foreign)
    await until(backend, Sight.ABSENT)
    assert await backend.attempts() == []


async def test_another_installation_in_the_same_namespace_is_left_alone(
    backend: KubernetesBackend,
    cluster: Cluster,
    connected: Callable[[], Api],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = dataclasses.replace(CHOICES, installation="theirs")
    theirs = KubernetesBackend(connected, PLACES, others, ClusterClock(cluster))
    try:
        await theirs.launch(LAUNCH)
        cluster.make_pods(cluster.all("jobs")[0])
        await until(theirs, Sight.ALIVE)
        await until(backend, Sight.ABSENT)
        assert (await theirs.attempts(), await backend.attempts()) == ([ATTEMPT], [])
        assert await backend.stop(ATTEMPT)
        await backend.launch(dataclasses.replace(LAUNCH, uid="of a job of ours"))
        assert len(cluster.all("jobs")) == 2
        assert len(cluster.all("pods")) == 1
        (pod,) = cluster.all("pods")
        identity = PodIdentity("visiontune-jobs", pod["metadata"]["name"], pod["metadata"]["uid"])
        monkeypatch.setattr(backend, "_identity", lambda _: identity)
        with pytest.raises(Unauthenticated, match="another attempt's name"):
            await backend.attempt_of("token")
    finally:
        await theirs.close()


async def test_kueue_says_why_a_job_waits(backend: KubernetesBackend, cluster: Cluster) -> None:
    places = PLACES.model_copy(update={"queues": ("research",)})
    backend._places = places
    resources = {"accelerator": "nvidia-l4", "accelerator_count": 2, "queue": "research"}
    await backend.launch(make_launch(resources=resources))
    job = cluster.objects["jobs", NAME]
    job["spec"]["suspend"] = True
    cluster.put("jobs", job)
    labels = {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}
    reserved = {"type": "QuotaReserved", "status": "False", "message": "no quota left"}
    workload = {"metadata": {"name": "w", "labels": labels}, "status": {"conditions": [reserved]}}
    cluster.call("create", "workloads", body=workload)

    async def says() -> bool:
        seen = await backend.observe(ATTEMPT)
        return seen.waiting == "Waits in the queue research: no quota left."

    await eventually(says)
    assert cluster.calls["list workloads"] == 1

    # It is asked again at once when the Job has failed: what it said before is no reason.
    evicted = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "to make room"}
    cluster.put("workloads", {**cluster.objects["workloads", "w"], "status": {"conditions": [evicted]}})
    failed = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 75"}
    cluster.put("jobs", {**cluster.objects["jobs", NAME], "status": {"conditions": [failed]}})

    async def is_disrupted() -> bool:
        return (await backend.observe(ATTEMPT)).disrupted

    await eventually(is_disrupted)


def test_what_the_operator_has_not_listed_is_refused(connected: Callable[[], Api], cluster: Cluster) -> None:
    backend = KubernetesBackend(connected, PLACES, CHOICES, ClusterClock(cluster))
    asked = make_launch(resources={"accelerator": "gtx", "accelerator_count": 1}).resources
    (problem,) = backend.problems_of(asked)
    assert "nvidia-l4" in problem.remedy


def test_names_lead_back_to_attempts() -> None:
    launch = Launch(f"{JOB}/attempts/12", "", "")
    assert name_of(launch.attempt, "here").endswith("-a12")


async def test_accelerators_are_counted_by_the_clocks_of_their_nodes(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    with pytest.raises(BackendUnavailable):
        backend.machine_times()
    await until(backend, Sight.ABSENT)
    await backend.launch(LAUNCH)
    job = cluster.objects["jobs", NAME]
    cluster.make_pods(job)
    (pod,) = cluster.pods_of(job)
    cluster.run(pod)
    started_at = cluster.now
    await eventually(lambda: len(backend.machine_times()) == 1)
    cluster.now += timedelta(hours=1)
    cluster.exit(cluster.objects["pods", pod["metadata"]["name"]], 1)
    await eventually(lambda: backend.machine_times()[0].ended_at)
    cluster.remove("pods", pod["metadata"]["name"])
    (time,) = backend.machine_times()
    assert (time.machine, time.job, time.attempt) == (pod["metadata"]["uid"], JOB, 1)
    assert (time.accelerator, time.accelerator_count, time.price_per_hour) == ("nvidia-l4", 2, 0.5)
    assert (time.started_at, time.ended_at) == (started_at, started_at + timedelta(hours=1))


async def test_a_pod_that_vanished_unseen_is_not_counted_on(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    await until(backend, Sight.ABSENT)
    await backend.launch(LAUNCH)
    cluster.make_pods(cluster.objects["jobs", NAME])
    cluster.run(cluster.all("pods")[0])
    await eventually(lambda: len(backend.machine_times()) == 1)
    cluster.remove("pods", cluster.all("pods")[0]["metadata"]["name"])
    await eventually(lambda: backend.machine_times() == [])


async def test_a_job_on_cpus_has_no_accelerator_hours(backend: KubernetesBackend, cluster: Cluster) -> None:
    await until(backend, Sight.ABSENT)
    await backend.launch(make_launch(resources={}))
    job = cluster.objects["jobs", NAME]
    cluster.make_pods(job)
    cluster.run(cluster.pods_of(job)[0])
    await eventually(_starts(backend))
    assert backend.machine_times() == []


async def test_every_right_in_the_trainers_role_is_one_that_it_uses(
    backend: KubernetesBackend, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That they are enough, every test with this cluster holds: it refuses what is not granted."""
    await until(backend, Sight.ABSENT)
    backend._places = PLACES.model_copy(update={"queues": ("research",)})
    resources = {"accelerator": "nvidia-l4", "accelerator_count": 4, "nodes": 2, "queue": "research"}
    await backend.launch(make_launch(resources=resources))
    cluster.make_pods(cluster.objects["jobs", NAME])
    for pod in cluster.all("pods"):
        cluster.run(pod)
    await eventually(_starts(backend))
    metadata = cluster.all("pods")[0]["metadata"]
    identity = PodIdentity("visiontune-jobs", metadata["name"], metadata["uid"])
    monkeypatch.setattr(backend, "_identity", lambda _: identity)
    assert await backend.attempt_of("token") == ATTEMPT
    await backend.stop(ATTEMPT)
    cluster.now += timedelta(seconds=120 + 61)

    async def gone() -> bool:
        return await backend.stop(ATTEMPT)

    await eventually(gone)
    assert cluster.asked == GRANTED
