"""The policy of the reconcile loop."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visiontune_trainer.domain.job import Attempt, Job
from visiontune_trainer.domain.next_step import (
    MOST_UNCHARGED,
    Begin,
    End,
    Launch,
    Observation,
    Pause,
    Policy,
    Retry,
    Sight,
    Step,
    Stop,
    Tell,
    Wait,
    next_step,
)
from visiontune_trainer.domain.states import ALLOWED, AT_REST, FINAL, WITH_WORKER, State

from tests.support.trainer_values import NOW, at, make_attempt, make_job, make_spec

POLICY = Policy()
ALIVE = Observation(Sight.ALIVE)
ABSENT = Observation(Sight.ABSENT)


def decide(job: Job, attempt: Attempt | None = None, seen: Observation = ALIVE, now_s: float = 0) -> Step:
    return next_step(job, attempt, seen, at(now_s), NOW, POLICY)


def running(**fields: object) -> tuple[Job, Attempt]:
    job = make_job(state=State.RUNNING, attempt=1, **fields)
    return job, make_attempt(claimed_at=NOW, heartbeat_at=NOW, worker_id="w")


def test_a_queued_job_begins() -> None:
    assert decide(make_job()) == Begin()


def test_a_retrying_job_waits_for_its_time() -> None:
    job = make_job(state=State.RETRYING, attempt=1, next_attempt_at=at(5))
    assert decide(job, now_s=4) == Wait()
    assert decide(job, now_s=5) == Begin()


def test_an_attempt_without_a_process_is_launched_again() -> None:
    job = make_job(state=State.STARTING, attempt=1)
    assert decide(job, make_attempt(), ABSENT) == Launch()


def test_silence_counts_only_while_somebody_listened() -> None:
    job, attempt = running()
    late = at(3600)
    assert next_step(job, attempt, ALIVE, late, late - timedelta(seconds=1), POLICY) == Wait()
    step = next_step(job, attempt, ALIVE, late, NOW, POLICY)
    assert isinstance(step, Retry)
    assert step.reason == "HEARTBEAT_LOST"


def test_a_worker_that_speaks_is_alive_even_when_nothing_is_seen_of_it() -> None:
    assert decide(*running(), ABSENT, now_s=5) == Wait()


def test_a_worker_without_trace_or_word_is_lost() -> None:
    step = decide(*running(), ABSENT, now_s=31)
    assert isinstance(step, Retry)
    assert step.reason == "WORKER_LOST"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(-9, "WORKER_KILLED"), (75, "PREEMPTED"), (1, "WORKER_EXITED"), (-11, "WORKER_EXITED")],
)
def test_an_exit_that_may_pass_is_retried(code: int, reason: str) -> None:
    step = decide(*running(), Observation(Sight.EXITED, code))
    assert isinstance(step, Retry)
    assert step.reason == reason


@pytest.mark.parametrize(
    ("code", "reason"), [(64, "CONFIGURATION_ERROR"), (65, "DATA_ERROR"), (78, "ENVIRONMENT_ERROR")]
)
def test_an_exit_that_will_come_again_ends_the_job(code: int, reason: str) -> None:
    step = decide(*running(), Observation(Sight.EXITED, code))
    assert isinstance(step, End)
    assert (step.state, step.reason) == (State.FAILED, reason)


def test_the_last_attempt_that_is_lost_fails_the_job() -> None:
    spec = make_spec(resources={"max_attempts": 1})
    step = decide(*running(spec=spec), Observation(Sight.EXITED))
    assert isinstance(step, End)
    assert step.reason == "ATTEMPTS_EXHAUSTED"
    assert "Attempt 1 of 1" in step.message


def test_waits_between_attempts_double_up_to_a_minute() -> None:
    waits = []
    for number in (1, 2, 3, 30):
        spec = make_spec(resources={"max_attempts": 100})
        job = make_job(spec=spec, state=State.RUNNING, attempt=number)
        step = decide(job, make_attempt(number=number, claimed_at=NOW), Observation(Sight.EXITED))
        assert isinstance(step, Retry)
        waits.append((step.at - NOW).total_seconds())
    assert waits == [1, 2, 4, 60]


def test_a_worker_that_is_to_pause_gets_the_time_to_save() -> None:
    job, attempt = running(pause_requested_at=NOW)
    assert decide(job, replace(attempt, heartbeat_at=at(599)), now_s=599) == Wait()
    assert decide(job, replace(attempt, heartbeat_at=at(600)), now_s=600) == Stop()


def test_a_worker_that_has_not_begun_is_paused_at_once() -> None:
    job = make_job(state=State.STARTING, attempt=1, pause_requested_at=NOW)
    assert decide(job, make_attempt()) == Stop()
    step = decide(job, make_attempt(), ABSENT)
    assert isinstance(step, Pause)
    assert not step.charged


@pytest.mark.parametrize(
    ("seen", "charged"),
    [
        (Observation(Sight.EXITED, 0), False),  # it obeyed, and could not say so
        (Observation(Sight.EXITED, 75), False),
        (Observation(Sight.EXITED, disrupted=True), False),
        (Observation(Sight.EXITED, -9), True),
    ],
)
def test_an_attempt_that_ends_while_it_is_to_pause_is_not_followed_by_another(
    seen: Observation, charged: bool
) -> None:
    step = decide(*running(pause_requested_at=NOW), seen)
    assert isinstance(step, Pause)
    assert step.charged is charged


def test_a_worker_that_was_stopped_for_a_pause_is_not_charged_however_it_ends() -> None:
    step = decide(*running(pause_requested_at=NOW), Observation(Sight.EXITED, -9), now_s=600)
    assert isinstance(step, Pause)
    assert not step.charged


def test_a_pause_does_not_hide_that_the_job_has_failed() -> None:
    step = decide(*running(pause_requested_at=NOW), Observation(Sight.EXITED, 65))
    assert isinstance(step, End)
    spec = make_spec(resources={"max_attempts": 1})
    assert isinstance(decide(*running(spec=spec, pause_requested_at=NOW), Observation(Sight.EXITED, -9)), End)


def test_a_paused_job_is_left_alone() -> None:
    assert decide(make_job(state=State.PAUSED, attempt=1), None, ABSENT, now_s=1e6) == Wait()


def test_a_job_ends_when_its_attempts_together_ran_too_long() -> None:
    spec = make_spec(resources={"max_duration": "100s"})
    job, attempt = running(spec=spec, ran_s=60.0)
    assert decide(job, attempt, now_s=20) == Wait()
    step = decide(job, attempt, now_s=40)
    assert isinstance(step, End)
    assert step.reason == "DURATION_EXCEEDED"


def test_a_cancelled_job_waits_for_its_worker_then_stops_it() -> None:
    job, attempt = running(cancel_requested_at=NOW)
    assert decide(job, attempt, now_s=1) == Wait()
    assert decide(job, attempt, now_s=16) == Stop()
    step = decide(job, attempt, Observation(Sight.EXITED, 0), now_s=17)
    assert isinstance(step, End)
    assert step.state is State.CANCELLED


def test_a_worker_that_has_not_claimed_is_stopped_at_once() -> None:
    job = make_job(state=State.STARTING, attempt=1, cancel_requested_at=NOW)
    assert decide(job, make_attempt()) == Stop()


def test_a_worker_that_never_claims_is_given_up() -> None:
    job = make_job(state=State.STARTING, attempt=1)
    assert decide(job, make_attempt(), now_s=299) == Wait()
    step = decide(job, make_attempt(), now_s=300)
    assert isinstance(step, Retry)
    assert step.reason == "START_TIMEOUT"


def waiting(text: str, **fields: object) -> Observation:
    return Observation(Sight.ALIVE, waiting=text, **fields)  # type: ignore[arg-type]  # of Observation


def starting(**fields: object) -> tuple[Job, Attempt]:
    return make_job(state=State.STARTING, attempt=1), make_attempt(**fields)


def test_a_worker_may_wait_for_its_place_for_ever_and_the_user_hears_why() -> None:
    assert decide(*starting(), waiting("no GPU"), now_s=2) == Wait()
    assert decide(*starting(), waiting("no GPU"), now_s=3) == Tell("no GPU")
    told = starting(waiting="no GPU", waiting_since=NOW)
    assert decide(*told, waiting("no GPU"), now_s=1_000_000) == Wait()


def test_news_about_waiting_are_told_at_most_every_ten_seconds() -> None:
    told = starting(waiting="3 nodes are full", waiting_since=NOW)
    assert decide(*told, waiting("2 nodes are full"), now_s=9) == Wait()
    assert decide(*told, waiting("2 nodes are full"), now_s=10) == Tell("2 nodes are full")
    assert decide(*told, waiting("no such image", is_stuck=True), now_s=1) == Tell("no such image")


def test_what_time_does_not_mend_fails_the_job_after_a_while() -> None:
    told = starting(waiting="no such image", waiting_since=NOW)
    assert decide(*told, waiting("no such image", is_stuck=True), now_s=299) == Wait()
    step = decide(*told, waiting("no such image", is_stuck=True), now_s=300)
    assert isinstance(step, End)
    assert step.reason == "START_TIMEOUT"
    assert "no such image" in step.message


def test_the_time_to_claim_counts_from_the_start_of_the_machine() -> None:
    late = Observation(Sight.ALIVE, started_at=at(1000))
    assert decide(*starting(), late, now_s=1299) == Wait()
    assert isinstance(decide(*starting(), late, now_s=1300), Retry)


def test_a_machine_that_was_taken_away_costs_no_attempt() -> None:
    spec = make_spec(resources={"max_attempts": 1})
    taken = Observation(Sight.EXITED, 75, disrupted=True, message="Evicted.")
    step = decide(*running(spec=spec), taken)
    assert step == Retry("PREEMPTED", "Evicted.", at(1), charged=False)


def test_a_machine_that_does_not_answer_costs_no_attempt() -> None:
    step = decide(*running(), Observation(Sight.ALIVE, disrupted=True), now_s=31)
    assert isinstance(step, Retry)
    assert (step.reason, step.charged) == ("PREEMPTED", False)


def test_only_charged_attempts_are_counted() -> None:
    spec = make_spec(resources={"max_attempts": 2})
    job = make_job(spec=spec, state=State.RUNNING, attempt=5, uncharged=4)
    assert isinstance(decide(job, make_attempt(number=5, claimed_at=NOW), Observation(Sight.EXITED)), Retry)
    job = make_job(spec=spec, state=State.RUNNING, attempt=6, uncharged=4)
    step = decide(job, make_attempt(number=6, claimed_at=NOW), Observation(Sight.EXITED))
    assert isinstance(step, End)


def test_a_job_cannot_lose_its_machine_for_ever() -> None:
    job = make_job(state=State.RUNNING, attempt=MOST_UNCHARGED + 5, uncharged=MOST_UNCHARGED)
    attempt = make_attempt(number=job.attempt, claimed_at=NOW)
    assert isinstance(decide(job, attempt, Observation(Sight.EXITED, disrupted=True)), End)


_seconds = st.floats(0, 10_000, allow_nan=False)
_maybe_time = st.none() | _seconds.map(at)
_observations = st.builds(
    Observation,
    st.sampled_from(Sight),
    st.none() | st.integers(-64, 255),
    st.just(""),
    disrupted=st.booleans(),
    waiting=st.sampled_from(["", "no GPU"]),
    is_stuck=st.booleans(),
    started_at=st.none() | st.floats(0, 10_000).map(at),
)


@st.composite
def _situations(draw: st.DrawFn) -> tuple[Job, Attempt | None]:
    state = draw(st.sampled_from(State))
    spec = make_spec(
        resources={
            "max_attempts": draw(st.integers(1, 6)),
            "max_duration": draw(st.none() | st.integers(1, 5_000).map("{}s".format)),
        }
    )
    number = 0 if state is State.QUEUED else draw(st.integers(1, 6))
    job = make_job(
        spec=spec,
        state=state,
        attempt=number,
        uncharged=draw(st.integers(0, max(0, number - 1))),
        cancel_requested_at=draw(_maybe_time),
        pause_requested_at=draw(_maybe_time) if state in WITH_WORKER else None,
        next_attempt_at=draw(_maybe_time) if state is State.RETRYING else None,
        ran_s=0.0 if number == 0 else draw(_seconds),
    )
    if number == 0:
        return job, None
    claimed_at = draw(_seconds.map(at)) if state is State.RUNNING else None
    return job, make_attempt(number=number, claimed_at=claimed_at, heartbeat_at=draw(_maybe_time))


@settings(max_examples=300, deadline=None)
@given(_situations(), _observations, _seconds, _seconds)
def test_every_decision_is_one_that_the_states_allow(
    situation: tuple[Job, Attempt | None], seen: Observation, now_s: float, since_s: float
) -> None:
    job, attempt = situation
    step = next_step(job, attempt, seen, at(now_s), at(since_s), POLICY)
    match step:
        case Begin():
            assert State.STARTING in ALLOWED[job.state]
        case Launch():
            assert job.state is State.STARTING
        case Stop():
            assert job.state in WITH_WORKER
            assert job.cancel_requested_at or job.pause_requested_at
        case Pause() | Retry():
            assert (State.PAUSED if isinstance(step, Pause) else State.RETRYING) in ALLOWED[job.state]
            assert isinstance(step, Pause) == (job.pause_requested_at is not None)
            assert not step.charged or job.charged < job.max_attempts
            assert isinstance(step, Pause) or step.at >= at(now_s)
        case End():
            assert step.state in ALLOWED[job.state]
            assert step.state is not State.SUCCEEDED
            assert step.reason
            assert step.message
        case Tell():
            assert job.state is State.STARTING
            assert step.waiting
        case Wait():
            pass
    if job.state in AT_REST:
        assert step == Wait()
    if seen.sight is Sight.UNREACHABLE and job.state in WITH_WORKER:
        assert step == Wait()


def test_states_that_lead_nowhere_are_the_final_ones() -> None:
    assert {State.SUCCEEDED, State.FAILED, State.CANCELLED} == FINAL
    reachable = {State.QUEUED}
    while (
        more := {following for state in reachable for following in ALLOWED[state]} | reachable
    ) != reachable:
        reachable = more
    assert reachable == set(State)
