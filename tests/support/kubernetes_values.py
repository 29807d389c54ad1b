"""Builders of the cluster's objects for tests, as the API server shows them."""

from datetime import datetime
from typing import Any

from visiontune_recipes.spec import Resources
from visiontune_trainer.compute.kubernetes.accelerators import Accelerator, Places
from visiontune_trainer.compute.kubernetes.manifests import (
    JOB_NAME_LABEL,
    PodChoices,
    job_manifest,
)
from visiontune_trainer.ports import Launch

from tests.support.trainer_values import JOB, at

ATTEMPT = f"{JOB}/attempts/1"
PLACES = Places(accelerators={"nvidia-l4": Accelerator(node_labels={"gpu": "l4"}, price_per_hour=0.5)})
CHOICES = PodChoices(image="worker:1")


def make_launch(attempt: str = ATTEMPT, **fields: Any) -> Launch:
    resources = fields.pop("resources", {"accelerator": "nvidia-l4", "accelerator_count": 2})
    values = {"uid": "uid-1", "spec_digest": "sha256:0", "resources": Resources(**resources), **fields}
    return Launch(attempt, "", "", **values)


def stamp(seconds: float) -> str:
    return time_text(at(seconds))


def time_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str = "True", reason: str = "", message: str = "", at_s: float = 0) -> Any:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(at_s),
    }


def make_job(*conditions: Any, launch: Launch | None = None, **spec: Any) -> dict[str, Any]:
    job = job_manifest(launch or make_launch(), PLACES, CHOICES)
    job["metadata"]["uid"] = f"uid-of-{job['metadata']['name']}"
    job["metadata"]["resourceVersion"] = "1"
    job["spec"].update(spec)
    job["status"] = {"conditions": list(conditions)}
    return job


def make_pod(
    *conditions: Any,
    job: dict[str, Any] | None = None,
    index: int = 0,
    phase: str = "Pending",
    state: dict[str, Any] | None = None,
    ready: bool = True,
    deleted_s: float | None = None,
    **status: Any,
) -> dict[str, Any]:
    job = job or make_job()
    name = job["metadata"]["name"]
    statuses = [{"name": "worker", "state": state, "ready": ready}] if state else []
    metadata = {
        "name": f"{name}-{index}-abcde",
        "namespace": "visiontune-jobs",
        "uid": f"pod-{name}-{index}",
        "resourceVersion": "1",
        "annotations": dict(job["spec"]["template"]["metadata"]["annotations"]),
        "labels": {**job["spec"]["template"]["metadata"]["labels"], JOB_NAME_LABEL: name},
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": name,
                "uid": job["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    if deleted_s is not None:
        metadata["deletionTimestamp"] = stamp(deleted_s)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**job["spec"]["template"]["spec"], "nodeName": "gpu-0" if phase != "Pending" else ""},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": statuses,
            **status,
        },
    }


def running(at_s: float = 10) -> dict[str, Any]:
    return {"running": {"startedAt": stamp(at_s)}}


def terminated(code: int, at_s: float = 100, message: str = "", reason: str = "Error") -> dict[str, Any]:
    ended = {"exitCode": code, "startedAt": stamp(10), "finishedAt": stamp(at_s)}
    return {"terminated": {**ended, "message": message, "reason": reason}}


def make_event(
    reason: str, message: str = "", of: dict[str, Any] | None = None, at_s: float = 0
) -> dict[str, Any]:
    about = (of or make_pod())["metadata"]
    return {
        "metadata": {"name": f"e-{reason}-{at_s}", "uid": f"e-{reason}-{at_s}", "resourceVersion": "1"},
        "involvedObject": {"uid": about["uid"], "name": about["name"]},
        "reason": reason,
        "message": message,
        "lastTimestamp": stamp(at_s),
    }
