"""What the cluster's objects mean."""

from typing import Any

import pytest
from visiontune_trainer.compute.kubernetes import seeing
from visiontune_trainer.domain.next_step import Observation, Sight

from tests.support.kubernetes_values import (
    condition,
    make_event,
    make_job,
    make_launch,
    make_pod,
    running,
    terminated,
)
from tests.support.trainer_values import at

TWO_NODES = make_launch(resources={"accelerator": "nvidia-l4", "accelerator_count": 4, "nodes": 2})
SCHEDULED = condition("PodScheduled", at_s=5)


def look(
    job: Any, *pods: Any, events: list[Any] | None = None, workload: Any = None, now_s: float = 60
) -> Observation:
    return seeing.observation(job, pods, events or [], workload, at(now_s))


def test_no_job_is_absent_and_so_is_one_that_is_being_deleted() -> None:
    assert look(None) == Observation(Sight.ABSENT)
    job = make_job()
    job["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert look(job) == Observation(Sight.ABSENT)


def test_all_pods_running_is_alive_since_the_last_of_them() -> None:
    job = make_job(launch=TWO_NODES)
    first = make_pod(SCHEDULED, job=job, index=0, phase="Running", state=running(10))
    second = make_pod(SCHEDULED, job=job, index=1, phase="Running", state=running(30))
    assert look(job, first, second) == Observation(Sight.ALIVE, started_at=at(30))


def test_one_pod_of_two_waits_for_the_other() -> None:
    job = make_job(launch=TWO_NODES)
    first = make_pod(SCHEDULED, job=job, index=0, phase="Running", state=running(10))
    message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    second = make_pod(condition("PodScheduled", "False", "Unschedulable", message), job=job, index=1)
    assert look(job, first, second).waiting == "2 nvidia-l4 nodes lack 4 free GPUs."


def test_a_pod_that_got_a_node_is_being_prepared() -> None:
    pod = make_pod(SCHEDULED, state={"waiting": {"reason": "ContainerCreating"}})
    pod["spec"]["nodeName"] = "gpu-0"
    assert look(make_job(), pod).waiting == "The node gpu-0 prepares the worker."
    assert look(make_job(), pod, events=[make_event("Pulling", of=pod)]).waiting.startswith("The node pulls")


def test_an_autoscaler_that_helps_is_told_with_what_is_missing() -> None:
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    pod = make_pod(condition("PodScheduled", "False", "Unschedulable", message))
    event = make_event("TriggeredScaleUp", of=pod)
    said = "1 nvidia-l4 node lacks 2 free GPUs. The autoscaler is adding a node."
    assert look(make_job(), pod, events=[event]).waiting == said


def test_an_image_that_cannot_be_pulled_is_stuck() -> None:
    pod = make_pod(SCHEDULED, state={"waiting": {"reason": "ErrImagePull", "message": "no"}})
    seen = look(make_job(), pod)
    assert seen.is_stuck
    assert "worker:1" in seen.waiting


def test_a_job_without_pods_says_what_keeps_them() -> None:
    job = make_job()
    assert look(job) == Observation(Sight.ALIVE, waiting="Waits for its pods to be made.")
    gpus = "nvidia.com/gpu"
    quota = f"exceeded quota: q, requested: {gpus}=2, used: {gpus}=8, limited: {gpus}=8"
    event = make_event("FailedCreate", quota, of=job)
    assert look(job, events=[event]).waiting == "Quota q: 8 of 8 GPUs used."


def test_a_suspended_job_says_what_its_queue_says() -> None:
    launch = make_launch()
    job = make_job(launch=launch, suspend=True)
    job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "research"
    reserved = condition("QuotaReserved", "False", "Pending", "couldn't assign flavors: insufficient quota.")
    workload = {"status": {"conditions": [reserved]}}
    said = "Waits in the queue research: couldn't assign flavors: insufficient quota."
    assert look(job, workload=workload).waiting == said
    assert look(job).waiting == "Waits in the queue research."
    assert look(make_job(suspend=True)).waiting == "Somebody has suspended the job."


def test_an_eviction_by_the_queue_ends_the_attempt_without_charge() -> None:
    evicted = condition("Evicted", "True", "Preempted", "to make room")
    seen = look(make_job(suspend=True), workload={"status": {"conditions": [evicted]}})
    assert (seen.sight, seen.disrupted) == (Sight.EXITED, True)
    assert "Preempted" in seen.message


@pytest.mark.parametrize(("code", "is_disrupted"), [(75, True), (143, True), (65, False), (64, False)])
def test_a_worker_that_the_queue_sent_away_is_not_charged_for_its_code(code: int, is_disrupted: bool) -> None:
    evicted = condition("Evicted", "True", "Preempted", "to make room")
    seen = look(make_job(by_code(code, 2)), workload={"status": {"conditions": [evicted]}})
    assert (seen.sight, seen.disrupted) == (Sight.EXITED, is_disrupted)


def failed(message: str, reason: str = "PodFailurePolicy", kind: str = "Failed") -> Any:
    return condition(kind, "True", reason, message)


def by_code(code: int, rule: int) -> Any:
    pod = "Container worker for pod visiontune-jobs/vt-0 failed with exit code"
    return failed(f"{pod} {code} matching FailJob rule at index {rule}")


@pytest.mark.parametrize(("code", "rule"), [(64, 1), (65, 1), (78, 1), (75, 2)])
def test_the_jobs_condition_tells_the_exit_code_when_the_pods_are_gone(code: int, rule: int) -> None:
    assert look(make_job(by_code(code, rule))) == Observation(Sight.EXITED, code)


def test_a_disruption_is_told_by_the_jobs_condition_and_explained_by_the_pods() -> None:
    job = make_job(failed("Pod ns/vt-0 has condition DisruptionTarget matching FailJob rule at index 0"))
    assert look(job) == Observation(Sight.EXITED, disrupted=True)
    target = condition("DisruptionTarget", "True", "PreemptionByScheduler", "preempted by x")
    pod = make_pod(SCHEDULED, target, phase="Failed", state=terminated(143))
    seen = look(job, pod)
    assert (seen.exit_code, seen.disrupted) == (-15, True)
    assert seen.message == "A job of higher priority took the worker's place."


def test_the_first_failure_is_the_cause_not_its_peers() -> None:
    job = make_job(failed("", "BackoffLimitExceeded", "FailureTarget"), launch=TWO_NODES)
    first = make_pod(SCHEDULED, job=job, index=1, phase="Failed", state=terminated(1, 50, "ValueError: x"))
    peer = make_pod(SCHEDULED, job=job, index=0, phase="Failed", state=terminated(75, 60, "told to leave"))
    assert look(job, peer, first) == Observation(Sight.EXITED, 1, "ValueError: x")


def test_a_failure_waits_for_the_pod_that_tells_its_cause() -> None:
    job = make_job(failed("", "BackoffLimitExceeded"))
    behind = make_pod(SCHEDULED, phase="Running", state=running())
    assert look(job, behind, now_s=4) == Observation(Sight.UNREACHABLE)
    assert look(job, behind, now_s=5) == Observation(Sight.EXITED)


def test_memory_that_did_not_suffice_is_named() -> None:
    job = make_job(failed("Job has reached the specified backoff limit", "BackoffLimitExceeded"))
    pod = make_pod(SCHEDULED, phase="Failed", state=terminated(137, reason="OOMKilled"))
    seen = look(job, pod)
    assert seen.exit_code == -9
    assert seen.message == "The worker needed more than the 36Gi of memory that it had."


def test_a_full_disk_is_the_jobs_own_fault() -> None:
    job = make_job(failed("", "BackoffLimitExceeded"))
    full = "Usage of EmptyDir volume scratch exceeds the limit 50Gi."
    pod = make_pod(SCHEDULED, phase="Failed", state=terminated(137), reason="Evicted", message=full)
    seen = look(job, pod)
    assert not seen.disrupted
    assert full in seen.message


def test_a_deadline_that_passed_in_the_queue_is_not_charged() -> None:
    assert look(make_job(failed("", "DeadlineExceeded"))).disrupted


def test_a_complete_job_has_exited() -> None:
    assert look(make_job(condition("Complete"))) == Observation(Sight.EXITED, 0)


def test_a_pod_that_its_node_does_not_let_go_is_lost_after_a_while() -> None:
    target = condition("DisruptionTarget", "True", "DeletionByTaintManager")
    pod = make_pod(SCHEDULED, target, phase="Running", state=running(), deleted_s=100)
    assert look(make_job(), pod, now_s=160).sight is Sight.ALIVE
    seen = look(make_job(), pod, now_s=161)
    assert (seen.sight, seen.disrupted) == (Sight.EXITED, True)
    assert seen.message == "The worker's node stopped answering, or was closed."


def test_a_node_that_went_silent_is_noticed_before_its_pods_go() -> None:
    silent = make_pod(SCHEDULED, condition("Ready", "False"), phase="Running", state=running(), ready=True)
    assert look(make_job(), silent).disrupted
    busy = make_pod(SCHEDULED, condition("Ready", "True"), phase="Running", state=running(), ready=True)
    assert not look(make_job(), busy).disrupted


def test_pod_times_go_from_the_node_to_the_end_of_the_container() -> None:
    waits = make_pod(condition("PodScheduled", "False"))
    runs = make_pod(SCHEDULED, phase="Running", state=running(), index=1)
    ended = make_pod(SCHEDULED, phase="Failed", state=terminated(1, 100), index=2)
    assert [seeing.pod_time(pod) for pod in (waits, runs, ended)] == [
        None,
        seeing.PodTime(at(5), None),
        seeing.PodTime(at(5), at(100)),
    ]


def test_only_conditions_end_a_job() -> None:
    assert not seeing.is_finished(make_job(failed("", kind="FailureTarget")))
    assert seeing.is_finished(make_job(failed("")))
    assert seeing.is_finished(make_job(condition("Complete")))
