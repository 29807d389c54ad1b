"""What is asked of the cluster for one attempt. Pure: the same launch and settings give the same objects.

Every field has its reason in docs/decisions/0010-kubernetes-jobs.md.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from visiontune_recipes.spec import Resources

from visiontune_trainer.compute.kubernetes.accelerators import Accelerator, Places
from visiontune_trainer.compute.kubernetes.merge import merged
from visiontune_trainer.domain.job import job_of_attempt, project_of
from visiontune_trainer.ports import Launch

CONTAINER = "worker"
MANAGED_LABEL = "app.kubernetes.io/managed-by"
INSTALLATION_LABEL = "app.kubernetes.io/instance"
JOB_LABEL = "visiontune.dev/job"
ATTEMPT_LABEL = "visiontune.dev/attempt"
PROJECT_LABEL = "visiontune.dev/project"
TRAINING_JOB = "visiontune.dev/training-job"
SPEC_DIGEST = "visiontune.dev/spec-digest"
UID = "visiontune.dev/uid"
ACCELERATOR = "visiontune.dev/accelerator"
SPOT = "visiontune.dev/spot"
CA = "visiontune.dev/trainer-ca"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
QUEUE_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
TOKEN_AUDIENCE = "visiontune-worker"  # noqa: S105 - who the token is for
FINAL_EXIT_CODES = (64, 65, 78)
RESUME_EXIT_CODE = 75
DISRUPTION_RULE = 0  # places of the rules in podFailurePolicy; the Job's condition names the one that matched
_MASTER_PORT = 29500
_TOKEN_FOLDER = "/var/run/secrets/visiontune"  # noqa: S105 - a folder
_CA_FOLDER = "/etc/visiontune/ca"
_SCRATCH = "/scratch"
# A node that does not answer is given up after this long; admission would make it 300 s.
_NODE_PATIENCE_S = 60
# Of a pod's grace, what is kept for torchrun to kill what does not leave, and to end itself.
_LAUNCHER_S = 10


@dataclass(frozen=True, slots=True)
class PodChoices:
    """The operator's choices for every pod."""

    image: str
    installation: str = "visiontune"  # tells what this trainer made from what another one did
    namespace: str = "visiontune-jobs"
    service_account: str = "visiontune-worker"
    image_pull_policy: str = "IfNotPresent"
    environment: Mapping[str, str] = field(default_factory=dict)
    cpus: float = 2.0  # for each process
    memory_gib: int = 16  # for each process
    shm_gib: int = 2  # for each process
    scratch_gib: int = 50
    user_id: int = 10001
    grace_s: int = 120
    keep_s: int = 86_400
    pending_margin_s: int = 86_400
    ca: str = ""  # PEM, by which workers trust the trainer; empty when they reach it without TLS
    patch: Mapping[str, Any] = field(default_factory=dict)


def name_of(attempt: str, installation: str) -> str:
    """Name of an attempt's Job and Service: at most 52 characters, without dots."""
    job, number = job_of_attempt(attempt)
    return f"vt-{_hash_of(f'{installation}/{job}')}-a{number}"


def job_manifest(launch: Launch, places: Places, pods: PodChoices) -> dict[str, Any]:
    """The Indexed Job: one pod a node, and no second try by itself, since attempts are ours."""
    nodes = launch.resources.node_count
    spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": _failure_rules()},
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": pods.keep_s,
        "template": _template(launch, places, pods),
    }
    if launch.remaining_s is not None:
        # A net for when the trainer is away: it counts the time in the queue too, hence the margin.
        spec["activeDeadlineSeconds"] = math.ceil(launch.remaining_s) + pods.pending_margin_s
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(launch.attempt, pods.installation),
            "namespace": pods.namespace,
            "labels": {
                **labels_of(launch.attempt, pods.installation),
                **_queue_labels(launch.resources, places),
            },
            "annotations": {
                TRAINING_JOB: job_of_attempt(launch.attempt)[0],
                SPEC_DIGEST: launch.spec_digest,
                UID: launch.uid,
            },
        },
        "spec": spec,
    }


def service_manifest(job: Mapping[str, Any]) -> dict[str, Any]:
    """The headless Service by which a Job's pods find the first one. It goes when the Job goes."""
    metadata = job["metadata"]
    name = metadata["name"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": metadata["uid"]}
    labels = {key: value for key, value in metadata["labels"].items() if not key.startswith("kueue.")}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {JOB_NAME_LABEL: name},
            "ports": [{"name": "rendezvous", "port": _MASTER_PORT}],
        },
    }


def needs_service(job: Mapping[str, Any]) -> bool:
    """True when several pods have to find each other."""
    return int(job["spec"].get("completions") or 1) > 1


def labels_of_all(installation: str) -> dict[str, str]:
    """Labels of everything that an installation makes."""
    return {MANAGED_LABEL: "visiontune", INSTALLATION_LABEL: installation}


def labels_of(attempt: str, installation: str) -> dict[str, str]:
    """Labels of everything that belongs to an attempt."""
    job, number = job_of_attempt(attempt)
    return {
        **labels_of_all(installation),
        "app.kubernetes.io/name": "visiontune-worker",
        JOB_LABEL: _hash_of(job),
        ATTEMPT_LABEL: str(number),
        PROJECT_LABEL: project_of(job),
    }


def _hash_of(job: str) -> str:
    return hashlib.sha256(job.encode()).hexdigest()[:12]


def _failure_rules() -> list[dict[str, Any]]:
    """All end the Job, since peers of a lost pod would hang; which one matched says what follows."""
    return [
        {
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(FINAL_EXIT_CODES)},
        },
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [RESUME_EXIT_CODE]},
        },
    ]


def _queue_labels(resources: Resources, places: Places) -> dict[str, str]:
    queue = resources.queue or places.default_queue
    priority = places.priorities.get(resources.priority or "")
    labels = {QUEUE_LABEL: queue} if queue else {}
    if queue and priority and priority.queue_priority_class:
        labels[QUEUE_PRIORITY_LABEL] = priority.queue_priority_class
    return labels


def _template(launch: Launch, places: Places, pods: PodChoices) -> dict[str, Any]:
    resources = launch.resources
    pool = places.pool_of(resources)
    pools = [pool, places.spot] if resources.is_spot and places.spot else [pool]
    priority = places.priorities.get(resources.priority or "")
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": pods.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pods.grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pods.user_id,
            "runAsGroup": pods.user_id,
            "fsGroup": pods.user_id,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [*(each for one in pools for each in one.tolerations), *_NODE_TROUBLE],
        "containers": [_container(launch, pool, pods)],
        "volumes": _volumes(_process_count(resources), pods),
    }
    selector = {label: value for one in pools for label, value in one.node_labels.items()}
    if selector:
        spec["nodeSelector"] = selector
    if priority and priority.priority_class:
        spec["priorityClassName"] = priority.priority_class
    if resources.node_count > 1:
        name = name_of(launch.attempt, pods.installation)
        spec["subdomain"] = name
        spec["affinity"] = _one_zone(name)
    # What the pod's hours are counted by, also when its Job is gone.
    annotations = {
        TRAINING_JOB: job_of_attempt(launch.attempt)[0],
        ACCELERATOR: launch.resources.accelerator,
        SPOT: str(launch.resources.is_spot).lower(),
    }
    if pods.ca:
        annotations[CA] = pods.ca
    labels = labels_of(launch.attempt, pods.installation)
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}
    return merged(template, pods.patch)


_NODE_TROUBLE = tuple(
    {
        "key": f"node.kubernetes.io/{taint}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _NODE_PATIENCE_S,
    }
    for taint in ("not-ready", "unreachable")
)


def _one_zone(name: str) -> dict[str, Any]:
    """Traffic between zones is slow and costs; better that than no place at all."""
    term = {
        "topologyKey": "topology.kubernetes.io/zone",
        "labelSelector": {"matchLabels": {JOB_NAME_LABEL: name}},
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _container(launch: Launch, pool: object, pods: PodChoices) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": pods.image,
        "imagePullPolicy": pods.image_pull_policy,
        "command": _command(launch.resources),
        "env": _environment(launch, pods),
        "resources": _container_resources(launch.resources, pool, pods),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # The last lines of its output come with the pod's status, without a right to read logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(pods),
    }


def _command(resources: Resources) -> list[str]:
    """In exec form, so that SIGTERM reaches the worker."""
    nodes, processes = resources.node_count, _process_count(resources)
    if nodes * processes == 1:
        return ["python", "-m", "visiontune_worker"]
    return [
        *("python", "-m", "visiontune_worker.launch"),  # torchrun, with the ranks' exit code
        *("--nnodes", str(nodes)),
        *("--nproc-per-node", str(processes)),
        *("--node-rank", "$(JOB_COMPLETION_INDEX)"),
        *("--rdzv-backend", "static"),  # c10d compares host names, and fails on short ones
        *("--master-addr", "$(VISIONTUNE_MASTER_ADDR)"),
        *("--master-port", "$(VISIONTUNE_MASTER_PORT)"),
        *("--max-restarts", "0"),
        *("-m", "visiontune_worker"),
    ]


def _environment(launch: Launch, pods: PodChoices) -> list[dict[str, str]]:
    name = name_of(launch.attempt, pods.installation)
    values = {
        **pods.environment,
        "VISIONTUNE_WORKER_ATTEMPT": launch.attempt,
        "VISIONTUNE_WORKER_POD_TOKEN_FILE": f"{_TOKEN_FOLDER}/token",
        "VISIONTUNE_WORKER_SCRATCH_DIR": _SCRATCH,
        "TRACEPARENT": launch.traceparent,
        # The root file system is read-only.
        "HOME": _SCRATCH,
        "TMPDIR": _SCRATCH,
        "HF_HOME": f"{_SCRATCH}/huggingface",
        "TRITON_CACHE_DIR": f"{_SCRATCH}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{_SCRATCH}/inductor",
        "VISIONTUNE_MASTER_ADDR": f"{name}-0.{name}" if launch.resources.node_count > 1 else "127.0.0.1",
        "VISIONTUNE_MASTER_PORT": str(_MASTER_PORT),
        # torchrun gives its processes 30 s by itself, however long the pod has.
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(max(1, pods.grace_s - _LAUNCHER_S)),
    }
    if pods.ca:
        values["VISIONTUNE_WORKER_TLS_CA_FILE"] = f"{_CA_FOLDER}/ca.crt"
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _container_resources(resources: Resources, pool: object, pods: PodChoices) -> dict[str, Any]:
    """Memory and accelerators are promised whole; CPUs may be lent where they idle."""
    processes = _process_count(resources)
    own = pool if isinstance(pool, Accelerator) else None
    cpus = (own and own.cpus) or pods.cpus
    # Shared memory counts as memory.
    memory_gib = ((own and own.memory_gib) or pods.memory_gib) + pods.shm_gib
    fixed = {
        "memory": f"{memory_gib * processes}Gi",
        "ephemeral-storage": f"{pods.scratch_gib + 1}Gi",  # and the logs
    }
    if own:
        fixed[own.resource] = str(resources.accelerator_count)
    return {"requests": {"cpu": f"{cpus * processes:g}", **fixed}, "limits": fixed}


def _volumes(processes: int, pods: PodChoices) -> list[dict[str, Any]]:
    token = {"path": "token", "audience": TOKEN_AUDIENCE, "expirationSeconds": 3600}
    volumes: list[dict[str, Any]] = [
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{pods.scratch_gib}Gi"}},
        # The default of 64 MiB ends data loaders with a bus error.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{pods.shm_gib * processes}Gi"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}},
    ]
    if pods.ca:
        # A public thing that comes with the pod: no ConfigMap to make and to keep, no Secret to hold.
        item = {"path": "ca.crt", "fieldRef": {"fieldPath": f"metadata.annotations['{CA}']"}}
        volumes.append({"name": "ca", "downwardAPI": {"items": [item]}})
    return volumes


def _mounts(pods: PodChoices) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "scratch", "mountPath": _SCRATCH},
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a mount, not a temporary file
        {"name": "token", "mountPath": _TOKEN_FOLDER, "readOnly": True},
    ]
    if pods.ca:
        mounts.append({"name": "ca", "mountPath": _CA_FOLDER, "readOnly": True})
    return mounts


def _process_count(resources: Resources) -> int:
    """Processes on each node."""
    return max(1, resources.accelerator_count)
