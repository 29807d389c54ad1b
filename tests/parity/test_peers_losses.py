"""Our losses and those of open_clip and colpali-engine on the same embeddings: values and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from visiontune_worker.objectives import maxsim
from visiontune_worker.objectives.contrastive_losses import sigmoid_loss, softmax_loss

from tests.parity import peers

pytestmark = [pytest.mark.slow, peers.needed]
PAIRS, TOKENS, WIDTH, NEGATIVES = 8, 11, 16, 3
NOTHING = torch.eye(PAIRS, dtype=torch.bool)


def vectors(*shape: int, seed: int = 0) -> Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(made, dim=-1).requires_grad_()


def same(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *given: Tensor) -> None:
    """Equal values, and equal gradients by all that is given."""
    values = [each(*given) for each in (ours, theirs)]
    gradients = [torch.autograd.grad(value, given) for value in values]
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-9)
    for ours_by, theirs_by in zip(*gradients, strict=True):
        assert torch.allclose(ours_by, theirs_by, atol=1e-9)


def test_the_softmax_loss_is_open_clips() -> None:
    scale = torch.tensor(14.3, dtype=torch.float64, requires_grad=True)
    same(
        lambda texts, images, by: softmax_loss(texts @ images.T * by, NOTHING),
        lambda texts, images, by: peers.open_clip().ClipLoss()(images, texts, by),
        vectors(PAIRS, WIDTH),
        vectors(PAIRS, WIDTH, seed=1),
        scale,
    )


def test_the_sigmoid_loss_is_open_clips() -> None:
    scale, bias = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (10.0, -10.0))
    same(
        lambda texts, images, by, shift: sigmoid_loss(texts @ images.T * by + shift, NOTHING),
        lambda texts, images, by, shift: peers.open_clip().SigLipLoss()(images, texts, by, shift),
        vectors(PAIRS, WIDTH),
        vectors(PAIRS, WIDTH, seed=1),
        scale,
        bias,
    )


def tokens(*shape: int, seed: int) -> Tensor:
    """Vectors with no likeness below zero: in colpali-engine the zeros of padding compete."""
    made = torch.rand(*shape, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(made, dim=-1).requires_grad_()


def mask(*shape: int) -> Tensor:
    return (
        torch.arange(TOKENS).expand(*shape, TOKENS) < torch.arange(4, 4 + shape[0]).clamp(max=TOKENS)[:, None]
    )


def ours(queries: Tensor, documents: Tensor, negatives: Tensor | None = None) -> Tensor:
    shown = mask(PAIRS)
    scores = maxsim.maxsim(queries, shown, documents, shown)
    in_batch = maxsim.in_batch_loss(scores, NOTHING)
    if negatives is None:
        return in_batch
    everything = torch.ones(PAIRS * NEGATIVES, TOKENS, dtype=torch.bool)
    owners = torch.arange(PAIRS).repeat_interleave(NEGATIVES)
    wrong = maxsim.maxsim(queries, shown, negatives.flatten(0, 1), everything)[
        owners, torch.arange(len(owners))
    ]
    return (in_batch + maxsim.given_loss(scores.diagonal()[owners], wrong)) / 2


def theirs(name: str) -> Callable[..., Tensor]:
    loss: Any = getattr(peers.colpali_engine(), name)()

    def of(queries: Tensor, documents: Tensor, *negatives: Tensor) -> Tensor:
        shown = mask(PAIRS)[:, :, None]
        found: Tensor = loss(queries * shown, documents * shown, *negatives)
        return found

    return of


def test_the_in_batch_loss_is_colpali_engines() -> None:
    same(ours, theirs("ColbertLoss"), tokens(PAIRS, TOKENS, seed=1), tokens(PAIRS, TOKENS, seed=2))


def test_with_given_negatives_the_loss_is_colpali_engines() -> None:
    same(
        ours,
        theirs("ColbertNegativeCELoss"),
        tokens(PAIRS, TOKENS, seed=1),
        tokens(PAIRS, TOKENS, seed=2),
        tokens(PAIRS, NEGATIVES, TOKENS, seed=3),
    )
