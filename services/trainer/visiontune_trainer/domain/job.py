"""A training job, its attempts and what is recorded about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from visiontune_kit.errors import Internal
from visiontune_recipes.spec import Spec

from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.domain.states import ALLOWED, FINAL, WITH_WORKER, State

DEFAULT_MAX_ATTEMPTS = 5


class IllegalTransition(Internal):
    """A change of state that the table does not allow: a bug, never an answer to a user."""

    def __init__(self, job: str, old: State, new: State) -> None:
        super().__init__(f"{job} cannot go from {old} to {new}.", resource=job)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    step: int = 0
    total_steps: int = 0  # 0 while unknown
    epoch: float = 0.0
    phase: str = ""
    remaining_s: float | None = None
    # The best evaluation so far, and how many since made no progress.
    best_step: int | None = None
    best_metric: str = ""
    best_value: float = 0.0
    evaluations_without_progress: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job."""

    job: str
    sequence: int  # from 1 without gaps, taken under the job's lock
    change: int  # place among all changes of the job
    at: datetime
    reason: str
    message: str
    state: State  # of the job from this event on
    attempt: int  # 0 for none


@dataclass(frozen=True, slots=True)
class Job:
    """One training of one model on one dataset version."""

    name: str
    project: str
    uid: str
    display_name: str
    spec: Spec  # as asked
    resolved: Spec  # every choice made
    spec_digest: str
    dataset_digest: str
    family: str  # empty when only the worker can tell
    total_steps: int  # 0 when unknown
    traceparent: str  # of the call that created it
    created_at: datetime
    state: State = State.QUEUED
    reason: str = Reason.QUEUED
    message: str = "Waits for a place to run."
    attempt: int = 0
    uncharged: int = 0  # attempts that do not count against max_attempts
    progress: Progress = field(default_factory=Progress)
    metrics_before: Mapping[str, float] = field(default_factory=dict)
    metrics_after: Mapping[str, float] = field(default_factory=dict)
    parameter_count: int = 0
    base_revision: str = ""  # commit of the Hub repository that the first attempt loaded
    best_step: int | None = None  # of the best evaluation, as the newest checkpoint knows it
    cancel_requested_at: datetime | None = None
    pause_requested_at: datetime | None = None  # None again once it is paused, or goes on after all
    started_at: datetime | None = None
    ended_at: datetime | None = None
    next_attempt_at: datetime | None = None
    ran_s: float = 0.0  # attempts that have ended, together
    change: int = 0  # grows with everything recorded about the job; cursors and etags come from it
    updated: int = 0  # `change` of the last change of the job itself
    events: int = 0
    log_lines: int = 0

    @property
    def ended(self) -> bool:
        """True in a final state."""
        return self.state in FINAL

    @property
    def has_worker(self) -> bool:
        """True while an attempt is current."""
        return self.state in WITH_WORKER

    @property
    def charged(self) -> int:
        """Attempts that count against max_attempts, the current one included."""
        return self.attempt - self.uncharged

    @property
    def max_attempts(self) -> int:
        """Charged attempts before a lost worker fails the job."""
        return self.resolved.resources.max_attempts or DEFAULT_MAX_ATTEMPTS

    @property
    def max_duration(self) -> timedelta | None:
        """What the attempts may take together; None for no limit."""
        text = self.resolved.resources.max_duration
        return None if text is None else timedelta(seconds=float(text.removesuffix("s")))

    def updated_with(self, **changes: Any) -> "Job":
        """Returns the job with `changes`, as one more change of it."""
        return replace(self, change=self.change + 1, updated=self.change + 1, **changes)

    def noted(self, reason: str, message: str, at: datetime) -> tuple["Job", Event]:
        """Returns the job and an event that does not change its state."""
        job = replace(self, change=self.change + 1, events=self.events + 1)
        event = Event(self.name, job.events, job.change, at, reason, message, self.state, self.attempt)
        return job, event

    def moved(
        self, state: State, reason: str, message: str, at: datetime, **changes: Any
    ) -> tuple["Job", Event]:
        """Returns the job in `state` and the event that says so. Raises IllegalTransition."""
        if state not in ALLOWED[self.state]:
            raise IllegalTransition(self.name, self.state, state)
        ended_at = at if state in FINAL else None
        values = {"next_attempt_at": None, **changes}
        job = self.updated_with(state=state, reason=reason, message=message, ended_at=ended_at, **values)
        return job.noted(reason, message, at)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One worker's try at a job."""

    job: str
    number: int  # from 1
    token_hash: str  # sha256 of the worker's token, hexadecimal
    created_at: datetime
    worker_id: str = ""  # empty until it is claimed
    claimed_at: datetime | None = None
    heartbeat_at: datetime | None = None
    acknowledged: int = 0  # sequence of the last report taken
    lines_before: int = 0  # that earlier attempts had logged
    waiting: str = ""  # why its worker has not started, as last told
    waiting_since: datetime | None = None  # since when that
    ended_at: datetime | None = None
    finished_state: State | None = None  # state that FinishAttempt answered; None when it did not end so

    @property
    def name(self) -> str:
        """`projects/{project}/trainingJobs/{job}/attempts/{number}`."""
        return f"{self.job}/attempts/{self.number}"

    def ran_s(self, now: datetime) -> float:
        """Seconds since it was claimed."""
        return 0.0 if self.claimed_at is None else max(0.0, (now - self.claimed_at).total_seconds())


def project_of(name: str) -> str:
    """Returns the project's id in a resource name."""
    return name.split("/", 2)[1]


def job_of_attempt(attempt: str) -> tuple[str, int]:
    """Splits an attempt's name into the job's name and the number."""
    job, _, number = attempt.rpartition("/attempts/")
    return job, int(number)
