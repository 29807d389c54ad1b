"""What is asked of the cluster, compared with golden files.

After a change that is meant:  VISIONTUNE_GOLDEN=write pytest tests/unit/trainer/kubernetes/test_manifests.py
and read the difference.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from visiontune_recipes.spec import Resources, Spot
from visiontune_trainer.compute.kubernetes.accelerators import Accelerator, Places, Pool, Priority
from visiontune_trainer.compute.kubernetes.manifests import (
    PodChoices,
    job_manifest,
    name_of,
    needs_service,
    service_manifest,
)
from visiontune_trainer.ports import Launch

GOLDEN = Path(__file__).parent / "golden"
ATTEMPT = "projects/default/trainingJobs/digits/attempts/1"
TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
PLACES = Places(
    accelerators={
        "nvidia-l4": Accelerator(
            node_labels={"cloud.google.com/gke-accelerator": "nvidia-l4"},
            tolerations=(TAINT,),
            cpus=4,
            memory_gib=24,
        )
    },
    spot=Pool(
        node_labels={"cloud.google.com/gke-spot": "true"},
        tolerations=({"key": "cloud.google.com/gke-spot", "operator": "Exists"},),
    ),
    queues=("research",),
    priorities={"high": Priority(priority_class="vt-high", queue_priority_class="kueue-high")},
)
CHOICES = PodChoices(
    image="registry.example/visiontune-worker:1",
    environment={"VISIONTUNE_WORKER_TRAINER_TARGET": "visiontune-trainer.visiontune.svc:8703"},
)
PATCH = {
    "metadata": {"annotations": {"example.com/team": "vision"}},
    "spec": {
        "runtimeClassName": "nvidia",
        "tolerations": [{"key": "team", "operator": "Equal", "value": "vision"}],
        "volumes": [
            {"name": "scratch", "emptyDir": None, "hostPath": None, "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        ],
        "containers": [
            {
                "name": "worker",
                "env": [
                    {"name": "NCCL_DEBUG", "value": "INFO"},
                    {"name": "HF_HOME", "value": "/models/huggingface"},
                ],
                "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
            }
        ],
    },
}


def launch(**resources: Any) -> Launch:
    return Launch(ATTEMPT, "", "00-trace-1", "uid-1", "sha256:0", Resources(**resources), None)


ONE = launch(accelerator="nvidia-l4", accelerator_count=1)
CASES = {
    "one-gpu": (ONE, CHOICES),
    "cpu": (launch(), CHOICES),
    "two-nodes": (launch(accelerator="nvidia-l4", accelerator_count=4, nodes=2), CHOICES),
    "spot": (
        Launch(
            ATTEMPT,
            "",
            "",
            "uid-1",
            "sha256:0",
            Resources(accelerator="nvidia-l4", accelerator_count=1, spot=Spot.ONLY),
            3599.5,
        ),
        CHOICES,
    ),
    "queue": (
        launch(accelerator="nvidia-l4", accelerator_count=1, queue="research", priority="high"),
        CHOICES,
    ),
    "patch": (ONE, PodChoices(image=CHOICES.image, ca="-----BEGIN CERTIFICATE-----\n", patch=PATCH)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_asked_of_the_cluster(case: str) -> None:
    asked, choices = CASES[case]
    job = job_manifest(asked, PLACES, choices)
    objects = [job]
    if needs_service(job):
        made = {**job, "metadata": {**job["metadata"], "uid": "job-uid"}}
        objects.append(service_manifest(made))
    text = yaml.safe_dump_all(objects, sort_keys=False, width=110, default_flow_style=False)
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("VISIONTUNE_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_names_are_short_and_the_same_each_time() -> None:
    long = f"projects/{'p' * 63}/trainingJobs/{'j' * 63}/attempts/100"
    assert name_of(ATTEMPT, "one") == name_of(ATTEMPT, "one") != name_of(ATTEMPT[:-1] + "2", "one")
    assert name_of(ATTEMPT, "one") != name_of(ATTEMPT, "two"), "installations may share a namespace"
    assert len(name_of(long, "one")) <= 52
    assert "." not in name_of(long, "one")


def test_no_pod_asks_for_more_than_the_restricted_profile_gives() -> None:
    for asked, choices in CASES.values():
        spec = job_manifest(asked, PLACES, choices)["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert all("hostPath" not in volume for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
