"""What an attempt's objects mean: Job, Pods, Events and Kueue's Workload to an Observation. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from visiontune_trainer.compute.kubernetes import pending
from visiontune_trainer.compute.kubernetes.manifests import (
    ACCELERATOR,
    CONTAINER,
    DISRUPTION_RULE,
    FINAL_EXIT_CODES,
    QUEUE_LABEL,
)
from visiontune_trainer.domain.next_step import Observation, Sight

Object = Mapping[str, Any]

# Past the end of its grace a pod that is still there is on a node that does not answer.
STUCK_AFTER = timedelta(seconds=60)
_WATCHES_APART = timedelta(seconds=5)
_RULE = re.compile(r"rule at index (\d+)")
_EXIT_CODE = re.compile(r"exit code (\d+)")
_FAILURES = ("FailureTarget", "Failed")
_SIGNALS = 128  # a shell's and a container runtime's way to say: ended by a signal


@dataclass(frozen=True, slots=True)
class PodTime:
    """How long a pod held its node's accelerators."""

    started_at: datetime
    ended_at: datetime | None  # None while it holds them


def observation(
    job: Object | None,
    pods: Sequence[Object],
    events: Iterable[Object],
    workload: Object | None,
    now: datetime,
) -> Observation:
    """What is seen of an attempt. `events` are those of the Job and of its pods."""
    if job is None or _deleted_at(job):
        return Observation(Sight.ABSENT)
    evicted = _evicted(workload)
    ended = _ended(job, pods, now)
    # A worker that the queue sends away may fail the Job by the code with which it leaves.
    if ended is not None and not (evicted and _may_have_left(ended)):
        return ended
    taken = evicted or _taken_away(pods, now)
    if taken:
        return Observation(Sight.EXITED, disrupted=True, message=taken)
    running = [pod for pod in pods if _phase(pod) == "Running"]
    if len(running) >= _completions(job):
        return _running(running)
    waiting, stuck = _waiting(job, pods, list(events), workload)
    return Observation(Sight.ALIVE, waiting=waiting, is_stuck=stuck)


def pod_time(pod: Object) -> PodTime | None:
    """The time of a pod with its node; None before it has got one."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled.get("status") != "True":
        return None
    return PodTime(time_of(scheduled["lastTransitionTime"]), _finished_at(pod))


def is_finished(job: Object) -> bool:
    """True once the Job's pods have all ended."""
    return any((condition(job, kind) or {}).get("status") == "True" for kind in ("Complete", "Failed"))


def is_ending(job: Object) -> bool:
    """True once it is settled how the Job ends: those of its pods that still run are being sent away."""
    return (condition(job, "FailureTarget") or {}).get("status") == "True"


def is_live(pod: Object) -> bool:
    """True while a pod's processes may run."""
    return _phase(pod) not in {"Succeeded", "Failed"}


def is_beyond_grace(pod: Object, now: datetime) -> bool:
    """True for a pod that should long have been gone: its node does not answer."""
    deleted_at = _deleted_at(pod)
    return deleted_at is not None and now - deleted_at > STUCK_AFTER


def has_failed(job: Object) -> bool:
    """Whether the Job has failed, or is about to."""
    return any((condition(job, kind) or {}).get("status") == "True" for kind in _FAILURES)


def condition(resource: Object, kind: str) -> Object | None:
    """The condition of that type, or None."""
    conditions = (resource.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), None)


def time_of(text: str) -> datetime:
    """A time as the API writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _ended(job: Object, pods: Sequence[Object], now: datetime) -> Observation | None:
    """How the Job ended, by its own conditions, which outlive the pods.

    FailureTarget comes before Failed, while other pods still leave: the first failure is the cause, not
    what its peers say when they are sent away.
    """
    if (condition(job, "Complete") or {}).get("status") == "True":
        return Observation(Sight.EXITED, 0)
    for kind in _FAILURES:
        failed = condition(job, kind)
        if failed is not None and failed.get("status") == "True":
            return Observation(Sight.UNREACHABLE) if _is_early(failed, pods, now) else _failed(failed, pods)
    return None


def _may_have_left(ended: Observation) -> bool:
    return ended.sight is Sight.EXITED and ended.exit_code not in {0, *FINAL_EXIT_CODES}


def _is_early(failed: Object, pods: Sequence[Object], now: datetime) -> bool:
    """True while the pod that failed the Job has not been seen to end: two watches tell of the two."""
    since = failed.get("lastTransitionTime")
    is_recent = since is not None and now - time_of(since) < _WATCHES_APART
    return is_recent and all(map(is_live, pods))


def _failed(failed: Object, pods: Sequence[Object]) -> Observation:
    reason, message = failed.get("reason", ""), failed.get("message", "")
    if reason == "DeadlineExceeded":
        text = "The job's pods did not end within its duration and the time allowed for waiting."
        return Observation(Sight.EXITED, disrupted=True, message=text)
    rule = _RULE.search(message) if reason == "PodFailurePolicy" else None
    first = _first_failure(pods)
    if rule is not None and int(rule[1]) == DISRUPTION_RULE:
        return Observation(Sight.EXITED, _exit_code(first), disrupted=True, message=_disruption(pods))
    code = _EXIT_CODE.search(message)
    exit_code = _from_shell(int(code[1])) if code else _exit_code(first)
    return Observation(Sight.EXITED, exit_code, log_tail=_tail(first), message=_cause(first))


def _first_failure(pods: Sequence[Object]) -> Object | None:
    """The pod that failed first; its peers fail because of it."""
    failed = [pod for pod in pods if _phase(pod) == "Failed"]
    return min(failed, key=lambda pod: _finished_at(pod) or datetime.max.replace(tzinfo=UTC), default=None)


def _cause(pod: Object | None) -> str:
    """A sentence where more is known than the exit code."""
    if pod is None:
        return ""
    ended = _terminated(pod)
    if ended.get("reason") == "OOMKilled":
        limit = _container(pod).get("resources", {}).get("limits", {}).get("memory", "its memory")
        return f"The worker needed more than the {limit} of memory that it had."
    status = pod.get("status") or {}
    if status.get("reason") == "Evicted":
        return f"The node put the worker out: {status.get('message', '')}"
    return ""


def _disruption(pods: Sequence[Object]) -> str:
    """Which hand took the pod away."""
    for pod in pods:
        found = condition(pod, "DisruptionTarget")
        if found is not None and found.get("status") == "True":
            said = _DISRUPTIONS.get(found.get("reason", ""))
            return said or f"The worker's machine was taken away: {found.get('message', '')}"
    return ""


_DISRUPTIONS: Mapping[str, str] = {
    "PreemptionByScheduler": "A job of higher priority took the worker's place.",
    "DeletionByTaintManager": "The worker's node stopped answering, or was closed.",
    "EvictionByEvictionAPI": "The worker's node is being emptied.",
    "DeletionByPodGC": "The worker's node is gone.",
    "TerminationByKubelet": "The worker's node is shutting down or short of something.",
}


def _taken_away(pods: Sequence[Object], now: datetime) -> str:
    """Says so when a pod has been sent away and its node does not confirm; the Job would wait for ever."""
    lost = [pod for pod in pods if is_live(pod) and is_beyond_grace(pod, now)]
    return (_disruption(lost) or "The worker's node does not answer.") if lost else ""


def _evicted(workload: Object | None) -> str:
    """Kueue resumes an evicted Job with new pods, which its backoff limit of 0 may refuse: begin anew."""
    evicted = condition(workload, "Evicted") if workload else None
    if evicted is None or evicted.get("status") != "True":
        return ""
    return f"The queue took the worker's place away ({evicted.get('reason')}): {evicted.get('message', '')}"


def _running(pods: Sequence[Object]) -> Observation:
    started = [time_of(at) for pod in pods if (at := _state(pod).get("running", {}).get("startedAt"))]
    return Observation(
        Sight.ALIVE,
        started_at=max(started, default=None),
        disrupted=any(_is_leaving(pod) or _is_on_silent_node(pod) for pod in pods),
    )


def _is_leaving(pod: Object) -> bool:
    return (condition(pod, "DisruptionTarget") or {}).get("status") == "True"


def _is_on_silent_node(pod: Object) -> bool:
    """The control plane calls a pod not ready whose kubelet last called its container ready."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "False" and bool(_container_status(pod).get("ready"))


def _waiting(
    job: Object, pods: Sequence[Object], events: Sequence[Object], workload: Object | None
) -> tuple[str, bool]:
    if job["spec"].get("suspend"):
        return _queued(job, workload), False
    waiting = [pod for pod in pods if _phase(pod) == "Pending"]
    if not waiting:
        return _not_made(job, events)
    told = [_of_pod(pod, _events_of(events, pod), ask_of(job["spec"]["template"])) for pod in waiting]
    # What has to be mended comes before what has to be waited for.
    return max(told, key=lambda each: each[1])


def _queued(job: Object, workload: Object | None) -> str:
    queue = job["metadata"].get("labels", {}).get(QUEUE_LABEL, "")
    reserved = condition(workload, "QuotaReserved") if workload else None
    text = f"Waits in the queue {queue}" if queue else "Somebody has suspended the job"
    if reserved is not None and reserved.get("status") != "True" and reserved.get("message"):
        return f"{text}: {reserved['message'].rstrip('.')}."
    return f"{text}."


def _not_made(job: Object, events: Sequence[Object]) -> tuple[str, bool]:
    failed = [event for event in events if event.get("reason") == "FailedCreate"]
    if failed:
        return pending.of_failed_create(max(failed, key=pending.time_of).get("message", ""))
    return "Waits for its pods to be made.", False


def _of_pod(pod: Object, events: Sequence[Object], ask: pending.Ask) -> tuple[str, bool]:
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled.get("status") != "True":
        text, stuck = pending.of_scheduler((scheduled or {}).get("message") or "Waits for a node.", ask)
        autoscaler = pending.of_events(events)
        return (f"{text} {autoscaler[0]}" if autoscaler else text), stuck
    state = _state(pod).get("waiting", {})
    found = pending.of_container(
        state.get("reason", ""), state.get("message", ""), _container(pod).get("image", "")
    )
    node = (pod.get("spec") or {}).get("nodeName", "")
    return found or pending.of_events(events) or (f"The node {node} prepares the worker.", False)


def ask_of(pod: Object) -> pending.Ask:
    """What a pod, or the template of one, asks of its node."""
    container = _container(pod)
    requests = container.get("resources", {}).get("requests", {})
    count = next((int(amount) for name, amount in requests.items() if "/" in name), 0)
    return pending.Ask(
        accelerator=(pod["metadata"].get("annotations") or {}).get(ACCELERATOR, ""),
        count=count,
        cpus=str(requests.get("cpu", "")),
        memory=str(requests.get("memory", "")).replace("Gi", " GiB"),
    )


def _events_of(events: Sequence[Object], pod: Object) -> list[Object]:
    uid = pod["metadata"].get("uid")
    return [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]


def _completions(job: Object) -> int:
    return int(job["spec"].get("completions") or 1)


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _deleted_at(resource: Object) -> datetime | None:
    """When it is to be gone, its grace included; None while nobody has deleted it."""
    text = resource["metadata"].get("deletionTimestamp")
    return None if text is None else time_of(text)


def _container(pod: Object) -> Mapping[str, Any]:
    containers = (pod.get("spec") or {}).get("containers") or []
    return next((each for each in containers if each.get("name") == CONTAINER), {})


def _container_status(pod: Object) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((each for each in statuses if each.get("name") == CONTAINER), {})


def _state(pod: Object) -> Mapping[str, Any]:
    return _container_status(pod).get("state") or {}


def _terminated(pod: Object) -> Mapping[str, Any]:
    return _state(pod).get("terminated") or {}


def _finished_at(pod: Object) -> datetime | None:
    text = _terminated(pod).get("finishedAt")
    return None if not text else time_of(text)


def _exit_code(pod: Object | None) -> int | None:
    code = _terminated(pod).get("exitCode") if pod else None
    return None if code is None else _from_shell(int(code))


def _from_shell(code: int) -> int:
    return _SIGNALS - code if code > _SIGNALS else code


def _tail(pod: Object | None) -> str:
    return str(_terminated(pod).get("message", "")).strip() if pod else ""
