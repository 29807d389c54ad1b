"""How long it still takes: what is known of steps, evaluations and publishing, added up."""

from visiontune_worker.eta import Eta


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_promised_before_a_step_was_measured() -> None:
    clock = Clock()
    eta = Eta(total_steps=100, every_steps=100, clock=clock)
    assert eta.remaining_s(0, "evaluating", evaluating_s=7.0, saving_s=0.0) is None
    eta.begin(0)
    eta.stepped(0)
    assert eta.remaining_s(0, "training", evaluating_s=7.0, saving_s=0.0) is None


def test_steps_evaluations_and_publishing_are_in_it() -> None:
    clock = Clock()
    eta = Eta(total_steps=100, every_steps=30, clock=clock)
    eta.begin(0)
    clock.now = 20.0
    eta.stepped(10)
    # 90 steps of 2 s, evaluations after 30, 60, 90 and 100.
    assert eta.remaining_s(10, "training", evaluating_s=7.0, saving_s=5.0) == 180 + 4 * 7 + 5
    clock.now = 60.0
    eta.stepped(30)
    # The one that is due now is still to come.
    assert eta.remaining_s(30, "evaluating", evaluating_s=7.0, saving_s=5.0) == 140 + (3 + 1) * 7 + 5
    clock.now += 1_000  # it took its time, which is no step's
    eta.begin(30)
    assert eta.remaining_s(30, "training", evaluating_s=7.0, saving_s=0.0) == 140 + 3 * 7


def test_at_the_end_what_is_left_is_publishing() -> None:
    eta = Eta(total_steps=100, every_steps=30)
    assert eta.remaining_s(100, "evaluating", evaluating_s=7.0, saving_s=5.0) == 7 + 5
    assert eta.remaining_s(100, "publishing", evaluating_s=7.0, saving_s=5.0) == 5
    assert eta.remaining_s(100, "publishing", evaluating_s=7.0, saving_s=0.0) is None


def test_a_slow_beginning_is_forgotten_and_a_hiccup_does_not_count_for_all() -> None:
    clock = Clock()
    eta = Eta(total_steps=10_000, every_steps=10_000, clock=clock)
    eta.begin(0)
    clock.now = 30.0
    eta.stepped(1)  # compiles, warms up
    for step in range(2, 402):
        clock.now += 1.0
        eta.stepped(step)
    steady = eta.remaining_s(401, "training", evaluating_s=7.0, saving_s=0.0)
    assert steady is not None
    assert 9_599 <= steady < 9_599 * 1.02
    clock.now += 10.0
    eta.stepped(402)
    after = eta.remaining_s(402, "training", evaluating_s=7.0, saving_s=0.0)
    assert after is not None
    assert steady < after < steady * 1.3
