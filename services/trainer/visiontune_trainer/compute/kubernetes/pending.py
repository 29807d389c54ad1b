"""Why pods wait, in words that say what is missing and where. Pure.

The messages of scheduler and controllers are for those who know Kubernetes; these are for those who do not.
A message that no row knows is passed on as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """What one pod asks of a node."""

    accelerator: str = ""  # the operator's name for it; empty for a CPU job
    count: int = 0
    cpus: str = ""
    memory: str = ""

    @property
    def is_for_cpu(self) -> bool:
        """True without accelerators."""
        return self.count == 0


_Phrase = Callable[[int, Ask], str]


def _nodes(number: int, kind: str = "") -> str:
    return f"{number} {kind}{' ' if kind else ''}{'node' if number == 1 else 'nodes'}"


def _lacks(number: int, kind: str = "") -> str:
    return f"{_nodes(number, kind)} {'lacks' if number == 1 else 'lack'}"


def _no_accelerators(number: int, ask: Ask) -> str:
    named = (
        f"{number} {ask.accelerator} node{'' if number == 1 else 's'}" if ask.accelerator else _nodes(number)
    )
    return f"{named} lack{'s' if number == 1 else ''} {ask.count} free GPU{'' if ask.count == 1 else 's'}"


def _other_kind(number: int, ask: Ask) -> str:
    return f"{number} {'is' if number == 1 else 'are'} of another kind"


def _reserved(number: int, ask: Ask) -> str:
    return f"{_nodes(number)} reserved or not ready"


def _no_memory(number: int, ask: Ask) -> str:
    if ask.is_for_cpu:
        return f"{_lacks(number)} {ask.memory} of free memory"
    return f"{number} {'has' if number == 1 else 'have'} GPUs free, but not with {ask.memory} beside them"


def _no_cpus(number: int, ask: Ask) -> str:
    if ask.is_for_cpu:
        return f"{_lacks(number)} {ask.cpus} free CPUs"
    return f"{number} {'has' if number == 1 else 'have'} GPUs free, but not with {ask.cpus} CPUs beside them"


def _no_disk(number: int, ask: Ask) -> str:
    return f"{_lacks(number)} free disk space"


def _too_many_pods(number: int, ask: Ask) -> str:
    return f"{_nodes(number)} at {'its' if number == 1 else 'their'} limit of pods"


def _unschedulable(number: int, ask: Ask) -> str:
    return f"{_nodes(number)} closed for maintenance"


# One reason of the scheduler, after its number of nodes.
_REASONS: Sequence[tuple[str, _Phrase]] = (
    (r"Insufficient memory", _no_memory),
    (r"Insufficient cpu", _no_cpus),
    (r"Insufficient ephemeral-storage", _no_disk),
    (r"Insufficient \S+/\S+", _no_accelerators),
    (r"node\(s\) didn't (match|satisfy) .*(affinity|selector)", _other_kind),
    (r"node\(s\) (had|have) (untolerated )?taint", _reserved),
    (r"node\(s\) had taints? .*didn't tolerate", _reserved),
    (r"node\(s\) were not ready", _reserved),
    (r"node\(s\) were unschedulable", _unschedulable),
    (r"Too many pods", _too_many_pods),
)
_SUMMARY = re.compile(
    r"^\d+/\d+ nodes are available: (?P<reasons>.*?)(?:\. (?:no new claims|preemption:).*|\.)?$", re.DOTALL
)
_ONE_REASON = re.compile(r"(\d+) (.*?)(?=, \d+ |$)", re.DOTALL)
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>.*), used: (?P<used>.*), limited: (?P<limit>.*)"
)


def of_scheduler(message: str, ask: Ask) -> tuple[str, bool]:
    """Returns what the condition PodScheduled=False says, and whether time alone does not mend it."""
    if "unbound immediate PersistentVolumeClaims" in message or "persistentvolumeclaim" in message:
        return f"The operator's pod patch names a volume that is missing: {message}", True
    if "no nodes available to schedule pods" in message:
        return "The cluster has no node yet.", False
    found = _SUMMARY.match(message.strip())
    if found is None:
        return message, False
    phrases = [_phrase(int(number), reason, ask) for number, reason in _ONE_REASON.findall(found["reasons"])]
    text = "; ".join(phrases) or message
    return f"{text[0].upper()}{text[1:]}.", False


def _phrase(number: int, reason: str, ask: Ask) -> str:
    for pattern, phrase in _REASONS:
        if re.search(pattern, reason):
            return phrase(number, ask)
    return f"{number} {reason}"


def of_quota(message: str) -> str | None:
    """Returns what a refusal for a ResourceQuota says; None when it is none."""
    found = _QUOTA.search(message)
    if found is None:
        return None
    used, limits = _amounts(found["used"]), _amounts(found["limit"])
    parts = [f"{used.get(name, '?')} of {limit} {_noun(name)} used" for name, limit in limits.items()]
    return f"Quota {found['name']}: {', '.join(parts)}."


def _amounts(text: str) -> Mapping[str, str]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): amount.strip() for name, _, amount in pairs}


def _noun(resource: str) -> str:
    name = resource.removeprefix("requests.").removeprefix("limits.")
    return {"count/jobs.batch": "jobs"}.get(name, "GPUs" if name.endswith("/gpu") else name)


# Reasons of a container's state `waiting` that time alone does not mend.
_STUCK: Mapping[str, str] = {
    "ErrImagePull": "The worker's image cannot be pulled",
    "ImagePullBackOff": "The worker's image cannot be pulled",
    "InvalidImageName": "The worker's image has no valid name",
    "ErrImageNeverPull": "The worker's image is not on the node, and may not be pulled",
    "CreateContainerConfigError": "The worker's container refers to something that is missing",
    "CreateContainerError": "The worker's container cannot be made",
    "RunContainerError": "The worker's container cannot be run",
}


def of_container(reason: str, message: str, image: str) -> tuple[str, bool] | None:
    """Returns what a waiting container says, and whether it is stuck; None when it is only being made."""
    said = _STUCK.get(reason)
    if said is None:
        return None
    # The kubelet's messages change from try to try; the image's name does not.
    detail = f": {image}" if "image" in said else f": {message}" if message else ""
    return f"{said}{detail}. The operator has to mend it.", True


# What events say about a pod that waits; the last of them counts.
_EVENTS: Mapping[str, tuple[str, bool]] = {
    "FailedMount": ("A volume cannot be mounted: {message}", True),
    "FailedAttachVolume": ("A volume cannot be attached: {message}", True),
    "TriggeredScaleUp": ("The autoscaler is adding a node.", False),
    "NotTriggerScaleUp": ("The autoscaler cannot add a node that fits.", False),
    "Nominated": ("A node is being started for it.", False),
    "Pulling": ("The node pulls the worker's image.", False),
}


def of_events(events: Iterable[Mapping[str, Any]]) -> tuple[str, bool] | None:
    """Returns what the newest telling event of a waiting pod says, and whether it is stuck."""
    telling = [event for event in events if event.get("reason") in _EVENTS]
    if not telling:
        return None
    newest = max(telling, key=time_of)
    text, stuck = _EVENTS[newest["reason"]]
    return text.format(message=newest.get("message", "")), stuck


def of_failed_create(message: str) -> tuple[str, bool]:
    """Returns what a Job's event FailedCreate says, and whether it is stuck."""
    quota = of_quota(message)
    if quota is not None:
        return quota, False
    return f"The cluster refuses the job's pods: {message}", True


def time_of(event: Mapping[str, Any]) -> str:
    """When an event was last seen, as text that sorts."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    created = (event.get("metadata") or {}).get("creationTimestamp")
    return next((time for time in (*times, created) if time), "")
