"""Why pods wait, in words: one row a message of the scheduler, a controller or a kubelet."""

import pytest
from visiontune_trainer.compute.kubernetes import pending
from visiontune_trainer.compute.kubernetes.pending import Ask

GPU = Ask("nvidia-l4", 2, "8", "64 GiB")
CPU = Ask(cpus="2", memory="16 GiB")
PREEMPTION = " preemption: 0/8 nodes are available: 3 No preemption victims found, 5 not helpful."

SCHEDULER = [
    (
        "0/8 nodes are available: 3 Insufficient nvidia.com/gpu, 5 node(s) didn't match Pod's node "
        "affinity/selector. no new claims to deallocate," + PREEMPTION,
        "3 nvidia-l4 nodes lack 2 free GPUs; 5 are of another kind.",
    ),
    ("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", "1 nvidia-l4 node lacks 2 free GPUs."),
    (
        "0/3 nodes are available: 3 node(s) had untolerated taint(s)." + PREEMPTION,
        "3 nodes reserved or not ready.",
    ),
    (
        (
            "0/2 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, "
            "1 node(s) had untolerated taint {team: a}."
        ),
        "1 node reserved or not ready; 1 node reserved or not ready.",
    ),
    (
        "0/4 nodes are available: 4 Insufficient memory.",
        "4 have GPUs free, but not with 64 GiB beside them.",
    ),
    ("0/1 nodes are available: 1 Insufficient cpu.", "1 has GPUs free, but not with 8 CPUs beside them."),
    (
        "0/2 nodes are available: 1 Insufficient ephemeral-storage, 1 Too many pods.",
        "1 node lacks free disk space; 1 node at its limit of pods.",
    ),
    (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Too many pods.",
        "1 node closed for maintenance; 2 nodes at their limit of pods.",
    ),
    (
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
        "2 are of another kind.",
    ),
    ("0/2 nodes are available: 2 something new.", "2 something new."),
    ("no nodes available to schedule pods", "The cluster has no node yet."),
    ("skip schedule deleting pod", "skip schedule deleting pod"),
]


@pytest.mark.parametrize(("message", "said"), SCHEDULER)
def test_the_scheduler_in_words(message: str, said: str) -> None:
    assert pending.of_scheduler(message, GPU) == (said, False)


def test_a_job_without_gpus_hears_nothing_of_gpus() -> None:
    message = "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient cpu."
    said = "1 node lacks 16 GiB of free memory; 2 nodes lack 2 free CPUs."
    assert pending.of_scheduler(message, CPU) == (said, False)


@pytest.mark.parametrize(
    "message",
    [
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not helpful",
        '0/1 nodes are available: persistentvolumeclaim "models" not found.',
    ],
)
def test_a_volume_that_is_missing_is_the_operators_matter(message: str) -> None:
    said, stuck = pending.of_scheduler(message, GPU)
    assert said.startswith("The operator's pod patch names a volume that is missing")
    assert stuck


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            (
                'Error creating: pods "vt-1" is forbidden: exceeded quota: gpus, requested: '
                "requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=8, limited: "
                "requests.nvidia.com/gpu=8"
            ),
            "Quota gpus: 8 of 8 GPUs used.",
        ),
        (
            (
                "exceeded quota: all, requested: count/jobs.batch=1,requests.memory=1Gi, used: "
                "count/jobs.batch=10,requests.memory=5Gi, limited: count/jobs.batch=10,requests.memory=9Gi"
            ),
            "Quota all: 10 of 10 jobs used, 5Gi of 9Gi memory used.",
        ),
    ],
)
def test_a_quota_that_is_used_up_is_waited_for(message: str, said: str) -> None:
    assert pending.of_failed_create(message) == (said, False)


def test_pods_that_the_cluster_refuses_are_the_operators_matter() -> None:
    said, stuck = pending.of_failed_create('no PriorityClass with name "vt-high" was found')
    assert "vt-high" in said
    assert stuck


@pytest.mark.parametrize(
    ("reason", "message", "said"),
    [
        ("ErrImagePull", "401 from the registry", "cannot be pulled: worker:1"),
        ("ImagePullBackOff", "back-off 20s", "cannot be pulled: worker:1"),
        ("CreateContainerConfigError", 'secret "s" not found', 'missing: secret "s" not found'),
    ],
)
def test_containers_that_cannot_start_are_the_operators_matter(reason: str, message: str, said: str) -> None:
    found = pending.of_container(reason, message, "worker:1")
    assert found is not None
    assert said in found[0]
    assert found[1]


def test_both_ways_to_fail_a_pull_are_the_same_news() -> None:
    assert pending.of_container("ErrImagePull", "a", "w") == pending.of_container(
        "ImagePullBackOff", "b", "w"
    )


def test_a_container_that_is_being_made_is_no_news() -> None:
    assert pending.of_container("ContainerCreating", "", "worker:1") is None


@pytest.mark.parametrize(
    ("reason", "said", "stuck"),
    [
        ("FailedMount", "A volume cannot be mounted: m", True),
        ("TriggeredScaleUp", "The autoscaler is adding a node.", False),
        ("NotTriggerScaleUp", "The autoscaler cannot add a node that fits.", False),
        ("Pulling", "The node pulls the worker's image.", False),
    ],
)
def test_events_in_words(reason: str, said: str, stuck: bool) -> None:
    old = {"reason": "TriggeredScaleUp", "lastTimestamp": "2030-01-01T00:00:00Z"}
    new = {"reason": reason, "message": "m", "lastTimestamp": "2030-01-01T00:01:00Z"}
    noise = {"reason": "Scheduled", "lastTimestamp": "2030-01-01T00:02:00Z"}
    assert pending.of_events([new, old, noise]) == (said, stuck)
    assert pending.of_events([noise]) is None
