"""Workers as pods of a cluster. They outlive the trainer, and the next one finds them."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from visiontune_kit import faults, logs
from visiontune_kit.clock import Clock
from visiontune_recipes.check import Problem
from visiontune_recipes.spec import Resources

from visiontune_trainer.compute.kubernetes import pending, pod_tokens, seeing
from visiontune_trainer.compute.kubernetes.accelerators import Places
from visiontune_trainer.compute.kubernetes.api import Absent, Api, Forbidden, Refused, Taken
from visiontune_trainer.compute.kubernetes.manifests import (
    ATTEMPT_LABEL,
    JOB_NAME_LABEL,
    QUEUE_LABEL,
    SPEC_DIGEST,
    SPOT,
    TRAINING_JOB,
    UID,
    PodChoices,
    job_manifest,
    labels_of_all,
    name_of,
    needs_service,
    service_manifest,
)
from visiontune_trainer.compute.kubernetes.pod_tokens import PodIdentity, UnknownKey
from visiontune_trainer.compute.kubernetes.watching import Cache, Watcher
from visiontune_trainer.domain.job import job_of_attempt, project_of
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.problems import BackendUnavailable, LaunchPostponed, LaunchRefused
from visiontune_trainer.domain.usage import MachineTime
from visiontune_trainer.ports import AcceleratorKind, Launch

Object = dict[str, Any]
T = TypeVar("T")
# A launch that the cluster put off is asked for again this much later; so is a queue's word.
_ASK_AGAIN_S = 5.0
_GONE_WITHIN_S = 5.0
_POLL_S = 0.1

log = logs.get(__name__)


class KubernetesBackend:
    """Implements `ports.Backend`."""

    slots: int | None = None  # The cluster queues by itself.
    patience_with_strangers = timedelta(minutes=10)  # The namespace is not ours alone.

    def __init__(self, connect: Callable[[], Api], places: Places, pods: PodChoices, clock: Clock) -> None:
        self._connect = connect
        self._api = connect()
        self._places = places
        self._choices = pods
        self.selector = ",".join(
            f"{name}={value}" for name, value in labels_of_all(pods.installation).items()
        )
        self._clock = clock
        self.jobs = Cache(lambda job: str(job["metadata"]["name"]))
        self.pods = Cache(_job_name_of, keeps_deleted=True)
        self.events = Cache(lambda event: str((event.get("involvedObject") or {}).get("uid", "")))
        self._watchers: list[Watcher] = []
        self._starting = threading.Lock()
        self._complete: set[str] = set()  # uids of Jobs whose Service is there
        self._postponed: dict[str, tuple[float, LaunchPostponed]] = {}
        self._workloads: dict[str, tuple[float, Object | None]] = {}  # by uid of the Job
        self._keys: tuple[str, Object] = ("", {})  # issuer and JWKS
        self._keys_until = 0.0  # not asked for again before

    def problems_of(self, resources: Resources) -> Sequence[Problem]:
        """What the operator's list lacks."""
        return self._places.problems_of(resources)

    def accelerators(self) -> Sequence[AcceleratorKind]:
        """The operator's list."""
        return self._places.kinds()

    async def launch(self, launch: Launch) -> None:
        """Makes the attempt's Job, or adopts the one that an earlier call made."""
        until, postponed = self._postponed.get(launch.attempt, (0.0, None))
        if postponed is not None and time.monotonic() < until:
            raise postponed
        try:
            await asyncio.to_thread(self._launch, launch)
            self._postponed.pop(launch.attempt, None)
        except LaunchPostponed as error:
            self._postponed[launch.attempt] = (time.monotonic() + _ASK_AGAIN_S, error)
            raise

    async def observe(self, attempt: str) -> Observation:
        """Looks at what is cached; asks the API server only for a Job that is not there."""
        self._watch()
        if not self._sees():
            return Observation(Sight.UNREACHABLE)
        try:
            job = await self._job(self._name_of(attempt))
            if job is None:
                return Observation(Sight.ABSENT)
            if needs_service(job) and not seeing.is_finished(job):
                await asyncio.to_thread(self._ensure_service, job)
            return await self._look_at(job)
        except BackendUnavailable:
            return Observation(Sight.UNREACHABLE)

    async def stop(self, attempt: str) -> bool:
        """Deletes the Job; its pods get their grace. Pods of nodes that do not answer are deleted at once."""
        self._watch()
        try:
            return await asyncio.to_thread(self._stop, self._name_of(attempt))
        except (BackendUnavailable, Refused) as error:
            log.warning("stop_postponed", attempt=attempt, error=str(error))
            return False

    async def attempts(self) -> list[str]:
        """Attempts whose Job or pods are not at their end, nor on the way to it.

        Jobs that are go by themselves, after a while in which they can be looked at.
        """
        self._watch()
        if not self._sees():
            raise BackendUnavailable("The cluster's jobs cannot be seen now.")
        self._forget_past()
        running = {_attempt_of(job) for job in self.jobs.existing() if not self._ends_by_itself(job)}
        alone = {
            _attempt_of(pod)
            for pod in self.pods.existing()
            if seeing.is_live(pod) and not self.jobs.of(_job_name_of(pod))
        }
        return sorted(name for name in running | alone if name)

    async def attempt_of(self, machine_token: str) -> str:
        """Believes the token of a live pod of an attempt's Job."""
        try:
            return await asyncio.to_thread(self._attempt_of_pod, machine_token)
        except Refused as error:
            raise BackendUnavailable(f"The pod cannot be looked up: {error}.") from error

    def machine_times(self) -> list[MachineTime]:
        """Times of the accelerators of all pods of which the end, or the life, is known."""
        if not self._sees():
            raise BackendUnavailable("The cluster's pods cannot be seen now.")
        pods = (pod for name in self.pods.groups() for pod in self.pods.of(name))
        return [time for time in map(self._time_of, pods) if time is not None]

    def _time_of(self, pod: Object) -> MachineTime | None:
        attempt, ask, time = _attempt_of(pod), seeing.ask_of(pod), seeing.pod_time(pod)
        if not attempt or ask.is_for_cpu or time is None:
            return None
        if time.ended_at is None and not self.pods.exists(pod):
            return None  # It vanished, and nobody saw its end.
        job_name, number = job_of_attempt(attempt)
        is_spot = (pod["metadata"].get("annotations") or {}).get(SPOT) == "true"
        return MachineTime(
            machine=pod["metadata"]["uid"],
            project=project_of(job_name),
            job=job_name,
            attempt=number,
            accelerator=ask.accelerator,
            accelerator_count=ask.count,
            price_per_hour=self._places.price_of(ask.accelerator, is_spot=is_spot),
            started_at=time.started_at,
            ended_at=time.ended_at,
        )

    async def close(self) -> None:
        """Stops watching; workers go on."""
        for watcher in self._watchers:
            watcher.stop()

    def _name_of(self, attempt: str) -> str:
        return name_of(attempt, self._choices.installation)

    def _watch(self) -> None:
        """Starts the watches, once, when they are first needed."""
        with self._starting:
            if self._watchers:
                return
            self._watchers = [
                Watcher(self._connect(), "jobs", self.jobs, self.selector),
                Watcher(self._connect(), "pods", self.pods, self.selector),
                Watcher(self._connect(), "events", self.events),
            ]
            for watcher in self._watchers:
                watcher.start()

    def _ends_by_itself(self, job: Object) -> bool:
        now, pods = self._clock.now(), self.pods.of(job["metadata"]["name"])
        stuck = any(seeing.is_live(pod) and seeing.is_beyond_grace(pod, now) for pod in pods)
        return seeing.is_finished(job) or (seeing.is_ending(job) and not stuck)

    def _forget_past(self) -> None:
        """Forgets the pods that were kept for their last word, once their Job is gone too."""
        for name in self.pods.groups():
            if not self.jobs.of(name) and not any(map(self.pods.exists, self.pods.of(name))):
                self.pods.forget(name)

    def _sees(self) -> bool:
        return self.jobs.is_current and self.pods.is_current

    async def _job(self, name: str) -> Object | None:
        """The Job; gone is only what the API server itself says is gone."""
        cached = self.jobs.of(name)
        if cached:
            return cached[0]
        job = await asyncio.to_thread(self._api.get, "jobs", name)
        if job is not None:
            self.jobs.put(job)
        return job

    async def _look_at(self, job: Object) -> Observation:
        pods = self.pods.of(job["metadata"]["name"])
        pods = [pod for pod in pods if _owner_uid(pod) == job["metadata"]["uid"]]
        events = [event for about in (job, *pods) for event in self.events.of(str(about["metadata"]["uid"]))]
        is_queued = QUEUE_LABEL in (job["metadata"].get("labels") or {})
        workload = await asyncio.to_thread(self._workload, job) if is_queued else None
        return seeing.observation(job, pods, events, workload, self._clock.now())

    def _launch(self, launch: Launch) -> None:
        manifest = job_manifest(launch, self._places, self._choices)
        try:
            job = self._created(manifest)
        except Forbidden as error:
            raise self._postponed_by(str(error)) from error
        except Absent as error:
            message = f"The namespace {self._choices.namespace} does not exist. Ask the operator to make it."
            raise LaunchPostponed(message) from error
        except Refused as error:
            raise LaunchRefused(f"The cluster refuses the job: {error}") from error
        self.jobs.put(job)
        log.info("job_created", attempt=launch.attempt, job=job["metadata"]["name"])
        faults.point("kubernetes.job_created")
        if needs_service(job):
            self._ensure_service(job)

    def _created(self, manifest: Object) -> Object:
        name = manifest["metadata"]["name"]
        try:
            return self._api.create("jobs", manifest)
        except Taken:
            existing = self._api.get("jobs", name)
        if existing is not None and _is_same(existing, manifest):
            return existing
        if existing is not None:
            # Left by a job that was deleted, and made again under the same name.
            self._api.delete("jobs", name, existing["metadata"]["uid"])
            self._await_gone(name)
        try:
            return self._api.create("jobs", manifest)
        except Taken as error:
            raise BackendUnavailable(f"Somebody else made the job {name} just now.") from error

    def _await_gone(self, name: str) -> None:
        deadline = time.monotonic() + _GONE_WITHIN_S
        while self._api.get("jobs", name) is not None:
            if time.monotonic() > deadline:
                raise BackendUnavailable(f"An older job {name} is still being deleted.")
            time.sleep(_POLL_S)
        self.jobs.forget(name)

    def _postponed_by(self, message: str) -> LaunchPostponed:
        quota = pending.of_quota(message)
        if quota is not None:
            return LaunchPostponed(quota)
        return LaunchPostponed(
            f"The trainer may not create jobs in the namespace {self._choices.namespace} ({message}). "
            "Ask the operator to grant what k8s/base grants."
        )

    def _ensure_service(self, job: Object) -> None:
        """Makes the Service by which the Job's pods meet; a crash may have come between the two calls."""
        uid = job["metadata"]["uid"]
        if uid in self._complete:
            return
        try:
            self._api.create("services", service_manifest(job))
        except Taken:
            pass
        except Refused as error:
            raise BackendUnavailable(f"The job's service cannot be made: {error}.") from error
        self._complete.add(uid)

    def _stop(self, name: str) -> bool:
        cached = self.jobs.of(name)
        job = cached[0] if cached else self._api.get("jobs", name)
        if job is not None:
            self._api.delete("jobs", name, job["metadata"]["uid"])
            self._complete.discard(job["metadata"]["uid"])
        now = self._clock.now()
        left = [pod for pod in self.pods.of(name) if self.pods.exists(pod) and seeing.is_live(pod)]
        for pod in left:
            if seeing.is_beyond_grace(pod, now):
                metadata = pod["metadata"]
                log.warning("pod_forced", job=name, pod=metadata["name"])
                self._api.delete("pods", metadata["name"], metadata["uid"], now=True)
        return job is None and not left

    def _workload(self, job: Object) -> Object | None:
        """Kueue's Workload of a Job in a queue, asked for now and then, and to say why the Job failed."""
        metadata = job["metadata"]
        until, known = self._workloads.get(metadata["uid"], (0.0, None))
        if time.monotonic() < until and not seeing.has_failed(job):
            return known
        try:
            found = self._api.list("workloads", f"kueue.x-k8s.io/job-uid={metadata['uid']}")
        except Refused as error:
            log.warning("workload_not_seen", job=metadata["name"], error=str(error))
            return None
        workload = next(iter(found.get("items") or []), None)
        self._workloads[metadata["uid"]] = (time.monotonic() + _ASK_AGAIN_S, workload)
        return workload

    def _attempt_of_pod(self, token: str) -> str:
        identity = self._identity(token)
        pod = self._api.get("pods", identity.name) if identity.namespace == self._api.namespace else None
        if pod is None or pod["metadata"]["uid"] != identity.uid or not seeing.is_live(pod):
            raise pod_tokens.refused("its pod does not run here")
        job = self._api.get("jobs", _job_name_of(pod))
        attempt = _attempt_of(job) if job is not None else ""
        if job is None or job["metadata"]["uid"] != _owner_uid(pod) or not attempt:
            raise pod_tokens.refused("its pod belongs to no attempt")
        # Labels and annotations are only believed where they give the very name of the Job.
        if self._name_of(attempt) != job["metadata"]["name"]:
            raise pod_tokens.refused("its job has another attempt's name")
        return attempt

    def _identity(self, token: str) -> PodIdentity:
        issuer, keys = self._keys
        try:
            return pod_tokens.verify(token, keys, issuer)
        except UnknownKey as error:
            if time.monotonic() < self._keys_until:
                raise pod_tokens.refused(f"the cluster has no key {error}") from error
            issuer = str(self._api.read("/.well-known/openid-configuration")["issuer"])
            self._keys = (issuer, self._api.read("/openid/v1/jwks"))
            self._keys_until = time.monotonic() + _ASK_AGAIN_S
        try:
            return pod_tokens.verify(token, self._keys[1], issuer)
        except UnknownKey as error:
            raise pod_tokens.refused(f"the cluster has no key {error}") from error


def _is_same(existing: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """True for the Job that an earlier call of this very launch made."""
    theirs, ours = existing["metadata"], manifest["metadata"]
    if theirs.get("deletionTimestamp"):
        return False
    same_attempt = theirs.get("labels", {}).get(ATTEMPT_LABEL) == ours["labels"][ATTEMPT_LABEL]
    annotations = theirs.get("annotations") or {}
    return same_attempt and all(
        annotations.get(name) == ours["annotations"][name] for name in (TRAINING_JOB, SPEC_DIGEST, UID)
    )


def _attempt_of(resource: Mapping[str, Any]) -> str:
    """Name of the attempt that a Job or pod belongs to; empty when it does not say."""
    metadata = resource["metadata"]
    job = (metadata.get("annotations") or {}).get(TRAINING_JOB, "")
    number = (metadata.get("labels") or {}).get(ATTEMPT_LABEL, "")
    return f"{job}/attempts/{number}" if job and number.isdecimal() else ""


def _job_name_of(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(JOB_NAME_LABEL, ""))


def _owner_uid(pod: Mapping[str, Any]) -> str:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")
