"""Hit rates and nDCG, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from visiontune_worker.objectives import ranking


def table(seed: int, queries: int = 700, candidates: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores without ties, and from one to six right candidates a query."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.permuted(np.tile(np.arange(candidates), (queries, 1)), axis=1)).float()
    right = torch.zeros(queries, candidates, dtype=torch.bool)
    for row in right:
        row[rng.permutation(candidates)[: rng.integers(1, 7)]] = True
    return scores, right


@pytest.mark.parametrize("k", [1, 5, 10])
def test_ndcg_is_that_of_scikit_learn(k: int) -> None:
    scores, right = table(seed=k)
    found = ranking.ranked(scores, right, most=10)
    expected = ndcg_score(right.int().numpy(), scores.numpy(), k=k)
    assert ranking.ndcg(found, right.sum(dim=1), k) == pytest.approx(expected, abs=1e-12)


def test_recall_counts_queries_with_a_hit_among_the_first() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.1, 0.5, 0.9], [0.5, 0.9, 0.1]])
    right = torch.tensor([[True, False, False], [True, False, False], [True, False, True]])
    found = ranking.ranked(scores, right, most=10)
    assert found.tolist() == [[True, False, False], [False, False, True], [False, True, True]]
    assert [ranking.recall(found, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_model_to_which_all_look_alike_finds_nothing() -> None:
    right = torch.eye(20, dtype=torch.bool)
    found = ranking.ranked(torch.zeros(20, 20), right, most=10)
    assert ranking.recall(found, 10) == 0.0
    assert ranking.ndcg(found, right.sum(dim=1), 10) == 0.0


def test_fewer_candidates_than_places_can_be_found_completely() -> None:
    right = torch.tensor([[False, True, True]])
    found = ranking.ranked(torch.tensor([[0.0, 2.0, 1.0]]), right, most=10)
    assert ranking.ndcg(found, right.sum(dim=1), 10) == pytest.approx(1.0)
