"""What to do next about a job: the whole policy of the reconcile loop, as pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from visiontune_trainer.domain.job import Attempt, Job
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.domain.states import AT_REST, State


class Sight(Enum):
    """What a backend sees of an attempt's worker."""

    ABSENT = auto()  # nothing under this name
    ALIVE = auto()  # it runs, or waits to
    EXITED = auto()  # it has run and ended
    UNREACHABLE = auto()  # cannot see; never means failed


@dataclass(frozen=True, slots=True)
class Observation:
    """A look at an attempt's worker."""

    sight: Sight
    exit_code: int | None = None  # of EXITED; negative for a signal; None when nobody could read it
    log_tail: str = ""  # last lines of its output
    message: str = ""  # how it ended, where the backend knows better than the exit code
    disrupted: bool = False  # its machine was taken away or does not answer: no fault of the job
    waiting: str = ""  # why it has not started, as a sentence; empty once it has
    is_stuck: bool = False  # waiting for something that time alone does not mend
    started_at: datetime | None = None  # when it started, where the backend knows


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the trainer is."""

    heartbeat_timeout: timedelta = timedelta(seconds=30)
    start_timeout: timedelta = timedelta(minutes=5)
    cancel_grace: timedelta = timedelta(seconds=15)
    pause_grace: timedelta = timedelta(minutes=10)
    backoff_first: timedelta = timedelta(seconds=1)
    backoff_most: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Make the next attempt, then launch it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Launch the current attempt; repeating it finds the first."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Make the current attempt's worker end."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the user why the worker has not started."""

    waiting: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt is over; another follows at `at`."""

    reason: str
    message: str
    at: datetime
    charged: bool = True  # False when the attempt does not count against max_attempts


@dataclass(frozen=True, slots=True)
class Pause:
    """The attempt, if there is one, is over; another follows when a user asks for it."""

    reason: str
    message: str
    charged: bool = True  # as of Retry


@dataclass(frozen=True, slots=True)
class End:
    """The job is over."""

    state: State
    reason: str
    message: str


Step = Wait | Begin | Launch | Tell | Stop | Retry | Pause | End
# A job that loses its machine this often is charged again: something else is wrong.
MOST_UNCHARGED = 100
# News about a waiting worker at most this often, so that a busy cluster does not fill the job's events.
_TELL_AFTER = timedelta(seconds=3)  # most workers start before
_TELL_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Exit:
    reason: Reason
    message: str
    final: bool = False
    obeyed: bool = False  # when it was asked to pause, it has done so


# Exit codes of the worker (visiontune_worker.__main__) that tell more than "it ended".
_EXITS: Mapping[int | None, _Exit] = {
    None: _Exit(Reason.WORKER_EXITED, "The worker ended without a word."),
    0: _Exit(Reason.WORKER_EXITED, "The worker ended without reporting a result.", obeyed=True),
    64: _Exit(Reason.CONFIGURATION_ERROR, "The worker cannot run this spec.", final=True),
    65: _Exit(Reason.DATA_ERROR, "The worker cannot use this data.", final=True),
    75: _Exit(Reason.PREEMPTED, "The worker was asked to leave.", obeyed=True),
    78: _Exit(Reason.ENVIRONMENT_ERROR, "The worker cannot run in its environment.", final=True),
    -15: _Exit(Reason.PREEMPTED, "The worker was asked to leave.", obeyed=True),
    -9: _Exit(Reason.WORKER_KILLED, "The worker was killed, perhaps for lack of memory."),
}


def next_step(
    job: Job, attempt: Attempt | None, seen: Observation, now: datetime, since: datetime, policy: Policy
) -> Step:
    """Decides about one job.

    attempt: the current one; None before the first. since: since when the trainer has listened
    without a break, for silence counts only while somebody listened. UNREACHABLE never means failed.
    """
    if job.state in AT_REST:
        return Wait()
    if attempt is None or not job.has_worker:
        return _without_worker(job, now)
    if seen.sight is Sight.UNREACHABLE:
        return Wait()
    if job.cancel_requested_at is not None:
        return _cancelling(job, attempt, seen, job.cancel_requested_at, now, policy)
    if _is_over_time(job, attempt, now):
        return _over_time(job)
    if seen.sight is Sight.EXITED:
        return _after_exit(job, seen, now, policy)
    if job.pause_requested_at is not None and (step := _pausing(job, attempt, seen, now, policy)):
        return step
    return _while_running(job, attempt, seen, now, since, policy)


def after_retryable(
    job: Job, reason: str, message: str, now: datetime, policy: Policy, *, charged: bool = True
) -> Retry | Pause | End:
    """The attempt is lost: another one, or the end when it was the last. To a pause it comes just right.

    charged: False when the machine was taken away, which is no fault of the job.
    """
    if job.cancel_requested_at is not None:
        return _cancelled()
    charged = (charged or job.uncharged >= MOST_UNCHARGED) and not _is_late_for_pause(job, now, policy)
    if charged and job.charged >= job.max_attempts:
        return End(
            State.FAILED,
            Reason.ATTEMPTS_EXHAUSTED,
            f"Attempt {job.charged} of {job.max_attempts} was lost too ({reason}): {message}",
        )
    if job.pause_requested_at is not None:
        return Pause(reason, f"Paused, since a user asked for it and the attempt is lost: {message}", charged)
    wait = min(policy.backoff_first * 2 ** min(job.attempt - 1, 20), policy.backoff_most)
    return Retry(reason, message, now + wait, charged)


def paused() -> Pause:
    """The attempt ended because a user asked for it."""
    return Pause(
        Reason.PAUSED, "Paused as asked. Resume it to go on from its newest checkpoint.", charged=False
    )


def _is_late_for_pause(job: Job, now: datetime, policy: Policy) -> bool:
    """True once a worker that did not leave for a pause is stopped: how it then ends is our doing."""
    asked_at = job.pause_requested_at
    return asked_at is not None and now - asked_at >= policy.pause_grace


def _without_worker(job: Job, now: datetime) -> Step:
    if job.cancel_requested_at is not None:
        return _cancelled()
    if _is_over_time(job, None, now):
        return _over_time(job)
    if job.next_attempt_at is not None and now < job.next_attempt_at:
        return Wait()
    return Begin()


def _cancelling(
    job: Job, attempt: Attempt, seen: Observation, asked_at: datetime, now: datetime, policy: Policy
) -> Step:
    if seen.sight is not Sight.ALIVE:
        return _cancelled()
    # A worker that has not claimed yet hears no orders.
    patience = policy.cancel_grace if attempt.claimed_at is not None else timedelta(0)
    return Stop() if now - asked_at >= patience else Wait()


def _pausing(
    job: Job, attempt: Attempt, seen: Observation, now: datetime, policy: Policy
) -> Stop | Pause | None:
    """None while the worker saves what it has, which takes as long as its step and its upload do."""
    if attempt.claimed_at is None:  # It hears no orders, and has nothing to save.
        return Stop() if seen.sight is Sight.ALIVE else paused()
    is_late = _is_late_for_pause(job, now, policy)
    return Stop() if is_late and seen.sight is Sight.ALIVE else None


def _after_exit(job: Job, seen: Observation, now: datetime, policy: Policy) -> Step:
    if seen.disrupted:
        message = seen.message or "The worker's machine was taken away."
        return after_retryable(job, Reason.PREEMPTED, message, now, policy, charged=False)
    known = _EXITS.get(seen.exit_code)
    if known is None:
        how = (
            f"exit code {seen.exit_code}" if (seen.exit_code or 0) > 0 else f"signal {-(seen.exit_code or 0)}"
        )
        known = _Exit(Reason.WORKER_EXITED, f"The worker ended with {how}.")
    message = seen.message or known.message
    if known.final:
        return End(State.FAILED, known.reason, message)
    if known.obeyed and job.pause_requested_at is not None:
        return paused()
    return after_retryable(job, known.reason, message, now, policy)


def _while_running(
    job: Job, attempt: Attempt, seen: Observation, now: datetime, since: datetime, policy: Policy
) -> Step:
    if attempt.claimed_at is None:
        return _while_starting(job, attempt, seen, now, since, policy)
    silent_since = max(attempt.heartbeat_at or attempt.claimed_at, since)
    if now - silent_since < policy.heartbeat_timeout:
        return Wait()
    silence = f"{policy.heartbeat_timeout.total_seconds():g} s"
    if seen.sight is Sight.ABSENT:
        message = f"No trace of the worker is left, and it said nothing for {silence}."
        return after_retryable(job, Reason.WORKER_LOST, message, now, policy)
    if seen.disrupted:
        message = f"The worker's machine does not answer, and the worker said nothing for {silence}."
        return after_retryable(job, Reason.PREEMPTED, seen.message or message, now, policy, charged=False)
    message = f"The worker runs, but said nothing for {silence}."
    return after_retryable(job, Reason.HEARTBEAT_LOST, message, now, policy)


def _while_starting(
    job: Job, attempt: Attempt, seen: Observation, now: datetime, since: datetime, policy: Policy
) -> Step:
    """A worker that waits for its place has all the time of the world, unless time does not help."""
    if seen.sight is Sight.ABSENT:
        return Launch()
    if seen.waiting:
        return _while_waiting(job, attempt, seen, now, policy)
    if now - max(attempt.created_at, since, seen.started_at or since) < policy.start_timeout:
        return Wait()
    message = f"The worker did not claim its attempt within {policy.start_timeout}."
    return after_retryable(job, Reason.START_TIMEOUT, message, now, policy)


def _while_waiting(job: Job, attempt: Attempt, seen: Observation, now: datetime, policy: Policy) -> Step:
    told_at = attempt.waiting_since or attempt.created_at
    if seen.waiting != attempt.waiting:
        is_news = seen.is_stuck or now - told_at >= (_TELL_EVERY if attempt.waiting else _TELL_AFTER)
        return Tell(seen.waiting) if is_news else Wait()
    if seen.is_stuck and now - told_at >= policy.start_timeout:
        return End(State.FAILED, Reason.START_TIMEOUT, f"For {policy.start_timeout}: {seen.waiting}")
    return Wait()


def _is_over_time(job: Job, attempt: Attempt | None, now: datetime) -> bool:
    if job.max_duration is None:
        return False
    running_s = 0.0 if attempt is None else attempt.ran_s(now)
    return job.ran_s + running_s >= job.max_duration.total_seconds()


def _over_time(job: Job) -> End:
    return End(
        State.FAILED,
        Reason.DURATION_EXCEEDED,
        f"Its attempts ran for {job.max_duration} together. Raise resources.max_duration or train less.",
    )


def _cancelled() -> End:
    return End(State.CANCELLED, Reason.CANCELLED, "Stopped as asked.")
