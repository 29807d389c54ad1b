"""Pods and Jobs as the tests submit them, in the shape that trainer pods have."""

from typing import Any

from tests.cluster.api import Resource

IMAGE = "visiontune-worker:test"
L4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}


def pod_spec(script: str, *, gpus: int = 0, container: Resource | None = None, **spec: Any) -> Resource:
    """Return a pod that passes the restricted standard and runs a shell script. container: other fields."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": IMAGE,
                "command": ["sh", "-c", script],
                "resources": {"limits": limits, "requests": limits},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                **(container or {}),
            }
        ],
        **spec,
    }


def pod(name: str, script: str, **spec: Any) -> Resource:
    return {"metadata": {"name": name}, "spec": pod_spec(script, **spec)}


def job(name: str, script: str, *, nodes: int = 1, **spec: Any) -> Resource:
    """Return an Indexed Job with the failure policy of a training attempt."""
    codes = {"operator": "In", "containerName": "main"}
    rules = [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {**codes, "values": [64, 65, 78]}},
        {"action": "FailJob", "onExitCodes": {**codes, "values": [75]}},
    ]
    return {
        "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": rules},
            "template": {"spec": pod_spec(script, **spec)},
        },
    }


def condition(resource: Resource, kind: str) -> Resource:
    """Return the condition of this type where it is true, else an empty one."""
    for found in resource.get("status", {}).get("conditions", []):
        if found["type"] == kind and found["status"] == "True":
            return dict(found)
    return {}


def exit_code(pod: Resource) -> int | None:
    """Return the container's exit code, None while it has none."""
    for status in pod.get("status", {}).get("containerStatuses", []):
        if "terminated" in status["state"]:
            return int(status["state"]["terminated"]["exitCode"])
    return None
