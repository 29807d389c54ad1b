"""Jobs in a queue of the real Kueue: who waits is told why, and who has to make room is not charged."""

from collections.abc import AsyncIterator, Iterator

import pytest
from visiontune_kit.clock import SystemClock
from visiontune_recipes.spec import Resources
from visiontune_trainer.compute.kubernetes.accelerators import Accelerator, Places, Priority
from visiontune_trainer.compute.kubernetes.api import connect
from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend
from visiontune_trainer.compute.kubernetes.manifests import CONTAINER, PodChoices
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.ports import Launch

from tests.cluster import accounts, build
from tests.cluster.cluster import Cluster
from tests.cluster.kueue import Kueue
from tests.cluster.workloads import IMAGE, L4
from tests.support.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# One GPU for all jobs together. Every resource that a training pod asks for has to be covered.
QUEUES = """
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: { name: default }
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: { name: training }
spec:
  namespaceSelector: {}
  preemption: { withinClusterQueue: LowerPriority }
  resourceGroups:
    - coveredResources: [cpu, memory, ephemeral-storage, nvidia.com/gpu]
      flavors:
        - name: default
          resources:
            - { name: cpu, nominalQuota: 64 }
            - { name: memory, nominalQuota: 256Gi }
            - { name: ephemeral-storage, nominalQuota: 1Ti }
            - { name: nvidia.com/gpu, nominalQuota: 1 }
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: { name: research, namespace: visiontune-jobs }
spec: { clusterQueue: training }
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: WorkloadPriorityClass
metadata: { name: urgent }
value: 1000
"""
PLACES = Places(
    accelerators={"nvidia-l4": Accelerator(node_labels=L4)},
    queues=("research",),
    priorities={"high": Priority(queue_priority_class="urgent")},
)
# In place of training: it leaves when it is asked to.
WORKS = {"name": CONTAINER, "command": ["sh", "-c", "trap 'exit 75' TERM; while true; do sleep 0.1; done"]}


@pytest.fixture(scope="module")
def kueue(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kueue]:
    found = build.kueue()
    if found is None:
        pytest.skip("Kueue is not built; `make test-cluster KUEUE=--kueue` builds it once.")
    accounts.install(cluster)
    made = Kueue(cluster, found / "kueue", found / "config", tmp_path_factory.mktemp("kueue"))
    try:
        made.start()
        cluster.plane.kubectl("apply", "--server-side", "--filename=-", stdin=QUEUES)
        yield made
    finally:
        made.stop()


@pytest.fixture
async def backend(cluster: Cluster, kueue: Kueue) -> AsyncIterator[KubernetesBackend]:
    """With the trainer's own rights."""
    kubeconfig = cluster.plane.kubeconfig("trainer", accounts.trainer_token(cluster))
    choices = PodChoices(image=IMAGE, patch={"spec": {"containers": [WORKS]}})
    made = KubernetesBackend(lambda: connect(str(kubeconfig), accounts.JOBS), PLACES, choices, SystemClock())
    yield made
    for name in await eventually(made.attempts):
        await gone(made, name)
    await made.close()


def launch(name: str, **resources: str) -> Launch:
    asked = Resources(accelerator="nvidia-l4", accelerator_count=1, queue="research", **resources)
    return Launch(f"projects/p/trainingJobs/{name}/attempts/1", "", "", resources=asked)


async def running(backend: KubernetesBackend, attempt: str) -> Observation:
    async def seen() -> Observation | None:
        found = await backend.observe(attempt)
        return found if found.started_at is not None else None

    found: Observation = await eventually(seen, within_s=60)
    return found


async def gone(backend: KubernetesBackend, attempt: str) -> None:
    async def stopped() -> bool:
        return await backend.stop(attempt)

    await eventually(stopped, within_s=60)


async def test_a_job_waits_with_the_queues_reason_until_there_is_room(backend: KubernetesBackend) -> None:
    first, second = launch("first"), launch("second")
    await backend.launch(first)
    await running(backend, first.attempt)
    await backend.launch(second)

    async def told() -> str:
        waiting = (await backend.observe(second.attempt)).waiting
        return waiting if "quota" in waiting else ""

    said = await eventually(told, within_s=60)
    assert said.startswith("Waits in the queue research: ")
    assert "nvidia.com/gpu" in said
    await gone(backend, first.attempt)
    await running(backend, second.attempt)


async def test_a_job_that_makes_room_for_another_is_disrupted_by_its_queue(
    backend: KubernetesBackend,
) -> None:
    patient, urgent = launch("patient"), launch("urgent", priority="high")
    await backend.launch(patient)
    await running(backend, patient.attempt)
    await backend.launch(urgent)

    async def ended() -> Observation | None:
        found = await backend.observe(patient.attempt)
        return found if found.sight is Sight.EXITED else None

    seen = await eventually(ended, within_s=60)
    assert seen.disrupted
    assert "The queue took the worker's place away (Preempted)" in seen.message
    await gone(backend, patient.attempt)
    await running(backend, urgent.attempt)
