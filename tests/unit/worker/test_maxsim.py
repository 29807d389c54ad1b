"""Late interaction by hand: masks decide what counts, and pieces of the table add up to the whole."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from visiontune_worker.objectives import maxsim


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def mask(*lengths: int) -> Tensor:
    return torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]


QUERIES, QUERY_MASK = vectors(3, 4, 8), mask(4, 2, 3)
DOCUMENTS, DOCUMENT_MASK = vectors(5, 6, 8, seed=1), mask(6, 1, 3, 6, 2)


def test_a_score_is_the_mean_of_the_best_likenesses() -> None:
    scores = maxsim.maxsim(QUERIES, QUERY_MASK, DOCUMENTS, DOCUMENT_MASK)
    for q in range(3):
        for c in range(5):
            alike = QUERIES[q][QUERY_MASK[q]] @ DOCUMENTS[c][DOCUMENT_MASK[c]].T
            assert scores[q, c].item() == pytest.approx(alike.max(dim=1).values.mean().item(), abs=1e-6)


def test_padding_is_never_the_best_however_much_of_it_there_is() -> None:
    scores = maxsim.maxsim(QUERIES, QUERY_MASK, -QUERIES, QUERY_MASK)
    longer = functional.pad(-QUERIES, (0, 0, 0, 7)), functional.pad(QUERY_MASK, (0, 7))
    again = maxsim.maxsim(functional.pad(QUERIES, (0, 0, 0, 5)), functional.pad(QUERY_MASK, (0, 5)), *longer)
    assert torch.allclose(again, scores, atol=1e-6)
    # One token against its opposite alone: a zero vector of padding would have given 0.
    alone = maxsim.maxsim(
        QUERIES[:1, :1], mask(1), functional.pad(-QUERIES[:1, :1], (0, 0, 0, 3)), mask(4) & mask(1, 4)[:1]
    )
    assert alone.item() == pytest.approx(-1.0)


def test_pieces_of_the_table_give_the_same_scores_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured() -> tuple[Tensor, Tensor]:
        documents = DOCUMENTS.clone().requires_grad_()
        scores = maxsim.maxsim(QUERIES, QUERY_MASK, documents, DOCUMENT_MASK)
        torch.autograd.backward(scores.square().sum())
        assert documents.grad is not None
        return scores, documents.grad

    whole = measured()
    monkeypatch.setattr(maxsim, "TABLE_VALUES", 1)
    for piecewise, at_once in zip(measured(), whole, strict=True):
        assert torch.allclose(piecewise, at_once, atol=1e-6)


def test_the_in_batch_loss_leaves_out_what_belongs_to_the_query() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.45], [0.2, 0.9, 0.1], [0.3, 0.2, 0.7]], requires_grad=True)
    known = torch.eye(3, dtype=torch.bool)
    known[0, 1] = True
    torch.autograd.backward(maxsim.in_batch_loss(scores, known))
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert scores.grad[0, 0] < 0 < scores.grad[0, 2]


def test_a_given_negative_counts_by_how_far_it_is_ahead() -> None:
    right, wrong = torch.tensor([0.50, 0.50]), torch.tensor([0.52, 0.10])
    expected = (functional.softplus(torch.tensor(1.0)) + functional.softplus(torch.tensor(-20.0))) / 2
    assert maxsim.given_loss(right, wrong).item() == pytest.approx(expected.item(), abs=1e-6)
