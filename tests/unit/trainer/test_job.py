"""Jobs, folders and reports as values."""

import pytest
from visiontune_trainer.domain.folders import Folder, beyond, newest_first
from visiontune_trainer.domain.job import IllegalTransition, job_of_attempt
from visiontune_trainer.domain.reports import MOST_ANSWERS, MetricPoint, Sample, to_thin
from visiontune_trainer.domain.states import State

from tests.support.trainer_values import JOB, NOW, make_job


def checkpoint(step: int, attempt: int = 1) -> Folder:
    return Folder(JOB, f"checkpoints/step-{step}", attempt, NOW, step=step)


def test_events_count_up_without_gaps() -> None:
    job, first = make_job().noted("QUEUED", "Waits.", NOW)
    job, second = job.moved(State.STARTING, "ATTEMPT_LAUNCHED", "Starts.", NOW, attempt=1)
    assert [first.sequence, second.sequence] == [1, 2]
    assert first.change < second.change
    assert second.state is State.STARTING
    assert second.attempt == 1


def test_a_change_that_the_table_does_not_list_is_refused() -> None:
    with pytest.raises(IllegalTransition):
        make_job(state=State.SUCCEEDED).moved(State.RUNNING, "X", "x", NOW)


def test_leaving_retrying_forgets_when_the_next_attempt_was_due() -> None:
    job = make_job(state=State.RETRYING, attempt=1, next_attempt_at=NOW)
    job, _ = job.moved(State.STARTING, "X", "x", NOW)
    assert job.next_attempt_at is None


def test_only_a_final_state_has_an_end() -> None:
    job, _ = make_job(state=State.RUNNING).moved(State.FAILED, "X", "x", NOW)
    assert job.ended_at == NOW
    job, _ = make_job().moved(State.STARTING, "X", "x", NOW)
    assert job.ended_at is None


def test_the_newest_checkpoints_stay_each_step_once() -> None:
    folders = [checkpoint(10), checkpoint(30), checkpoint(20), checkpoint(30, attempt=2)]
    assert [folder.step for folder in newest_first(folders)] == [30, 30, 20, 10]
    assert beyond(folders, keep=2) == [checkpoint(30), checkpoint(10)]
    assert len(beyond(folders, keep=0)) == 4


def test_the_best_checkpoint_stays_beside_the_newest() -> None:
    folders = [checkpoint(10), checkpoint(20), checkpoint(30), checkpoint(40), checkpoint(20, attempt=2)]
    assert beyond(folders, keep=2, best_step=20) == [checkpoint(20), checkpoint(10)]
    assert beyond(folders, keep=2, best_step=40) == beyond(folders, keep=2, best_step=15)
    assert len(beyond(folders, keep=0, best_step=20)) == 5


def test_the_answers_of_many_steps_are_thinned_and_the_ends_stay() -> None:
    assert to_thin(range(MOST_ANSWERS)) == []
    left = set(range(MOST_ANSWERS + 1)) - set(to_thin(range(MOST_ANSWERS + 1)))
    assert {0, MOST_ANSWERS} <= left
    assert len(left) == MOST_ANSWERS // 2 + 1


def test_the_answer_at_the_first_step_is_the_untrained_models() -> None:
    untrained = Sample(JOB, 0, "e", "Which digit?", "7", before="1", after="", after_step=5)
    assert untrained.answer(first_step=5).text == "1"
    # A trained model that says nothing.
    assert untrained.answer(first_step=0).text == ""


def test_attempts_store_under_owners_of_their_own() -> None:
    first, second = checkpoint(10), checkpoint(10, attempt=2)
    assert first.name == second.name
    assert first.owner != second.owner
    assert first.owner.startswith(first.name + "/")


def test_values_of_a_step_join_and_what_is_measured_again_is_replaced() -> None:
    loss = MetricPoint(JOB, 10, 1.0, {"loss": 1.0}, NOW, attempt=1)
    evaluation = MetricPoint(JOB, 10, 1.0, {"eval_exact_match": 0.5}, NOW, attempt=1)
    again = MetricPoint(JOB, 10, 1.0, {"loss": 2.0}, NOW, attempt=2)
    assert evaluation.after(loss).values == {"loss": 1.0, "eval_exact_match": 0.5}
    assert again.after(evaluation.after(loss)).values == {"loss": 2.0, "eval_exact_match": 0.5}
    assert evaluation.evaluation() == {"exact_match": 0.5}


def test_a_sample_keeps_what_was_said_before_training() -> None:
    before = Sample(JOB, 0, "e", "Which digit?", "7", before="1", after="", after_step=0)
    after = Sample(JOB, 0, "e", "Which digit?", "7", before="", after="7", after_step=24)
    assert after.over(before).before == "1"
    assert after.over(before).after == "7"


def test_an_attempts_name_says_which_job() -> None:
    assert job_of_attempt(f"{JOB}/attempts/12") == (JOB, 12)
