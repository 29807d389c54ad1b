"""Which evaluation is the best, when patience ends, and that a checkpoint keeps both."""

import json
from dataclasses import asdict
from math import nan

import pytest
from visiontune_recipes.spec import EarlyStopping, Evaluation
from visiontune_worker.standing import Standing, standing_from


def after(values: list[float], evaluation: Evaluation) -> Standing:
    """The standing after evaluations at steps 10, 20, ..."""
    standing = Standing()
    for number, value in enumerate(values, start=1):
        metrics = {evaluation.judged_by: value}
        standing = standing.after(10 * number, metrics, {"e": str(number)}, evaluation)
    return standing


def stopping(patience: int, min_delta: float = 0.0, metric: str | None = None) -> Evaluation:
    return Evaluation(
        early_stopping=EarlyStopping(patience=patience, min_delta=min_delta), best_metric=metric
    )


@pytest.mark.parametrize(
    ("values", "evaluation", "best_step", "waited"),
    [
        ([2.0, 1.0, 1.5, 1.2], Evaluation(), 20, 2),
        ([0.1, 0.5, 0.4], Evaluation(best_metric="rouge_l"), 20, 1),
        ([1.0, 1.0, 1.0], Evaluation(), 10, 2),
        ([nan, 1.0, nan], Evaluation(), 20, 1),
        # Small steps are no progress until they add up; the best is the best all the same.
        ([1.0, 0.95, 0.91], stopping(5, 0.1), 30, 2),
        ([1.0, 0.95, 0.85], stopping(5, 0.1), 30, 0),
        ([0.5, 0.6, 0.65], stopping(5, 0.2, "exact_match"), 30, 2),
    ],
)
def test_the_best_and_the_wait(
    values: list[float], evaluation: Evaluation, best_step: int, waited: int
) -> None:
    standing = after(values, evaluation)
    assert standing.best is not None
    assert (standing.best.step, standing.waited) == (best_step, waited)
    assert standing.best.answers == {"e": str(best_step // 10)}


def test_patience_ends_after_so_many_evaluations_without_progress() -> None:
    assert not after([2.0, 1.0, 1.1], stopping(2)).ends(stopping(2))
    assert after([2.0, 1.0, 1.1, 1.2], stopping(2)).ends(stopping(2))
    assert not after([2.0, 1.0, 1.1, 1.2], stopping(2)).ends(Evaluation())
    assert after([nan, nan], stopping(2)).ends(stopping(2))


def test_an_evaluation_that_is_made_again_counts_once() -> None:
    standing = after([2.0, 3.0], stopping(2))
    assert standing.after(20, {"loss": 3.0}, {}, stopping(2)) == standing


def test_a_checkpoint_keeps_it() -> None:
    for standing in (Standing(), after([2.0, 3.0], stopping(2))):
        assert standing_from(json.loads(json.dumps(asdict(standing)))) == standing
    assert standing_from(None) == Standing()
