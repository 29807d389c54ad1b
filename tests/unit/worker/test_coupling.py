"""A step split into passes and ranks: the gradient of the whole, however it is split."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visiontune_worker.objectives import coupling
from visiontune_worker.objectives.contrastive_losses import softmax_loss
from visiontune_worker.objectives.coupling import Embeddings
from visiontune_worker.objectives.joining import along_first

WIDTH = 5
PAIRS = 12


class Towers(nn.Module):
    """Two linear towers and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.text, self.image = nn.Linear(4, WIDTH), nn.Linear(6, WIDTH)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def loss(self, whole: Embeddings) -> Tensor:
        logits = whole["text"] @ whole["image"].T * self.scale.exp()
        return softmax_loss(logits, whole["key"][:, None] == whole["key"][None, :])

    def gradients(self) -> dict[str, Tensor]:
        return {name: each.grad for name, each in self.named_parameters() if each.grad is not None}


def inputs() -> dict[str, Tensor]:
    torch.manual_seed(4)
    # The last two are the same pair.
    keys = torch.arange(PAIRS).clamp(max=PAIRS - 2)
    return {"text": torch.randn(PAIRS, 4), "image": torch.randn(PAIRS, 6), "key": keys}


def embeddings(model: Towers, rows: slice, dropout: float = 0.0) -> Embeddings:
    given = inputs()
    torch.manual_seed(rows.start)
    text = functional.dropout(model.text(given["text"][rows]), dropout)
    return {
        "text": functional.normalize(text, dim=-1),
        "image": functional.normalize(model.image(given["image"][rows]), dim=-1),
        "key": given["key"][rows],
    }


def split(model: Towers, passes: Sequence[Sequence[slice]], dropout: float = 0.0) -> float:
    """Trains a step on ranks with these passes; one model stands for all, so that gradients add up."""
    with torch.no_grad():
        made = [[embeddings(model, rows, dropout) for rows in ours] for ours in passes]
    lengths = [sum(len(each["key"]) for each in ours) for ours in made]

    def gather(rank: int) -> tuple[Embeddings, Mapping[str, int]]:
        whole = along_first(each for ours in made for each in ours)
        return whole, dict.fromkeys(whole, sum(lengths[:rank]))

    total = 0.0
    gathered: dict[str, Tensor] = {}
    for rank, ours in enumerate(passes):
        model.zero_grad()
        told = coupling.backward(
            lambda number, ours=ours: embeddings(model, ours[number], dropout),  # type: ignore[misc]
            len(ours),
            model.loss,
            own=[model.scale],
            gather=lambda _, rank=rank: gather(rank),  # type: ignore[misc]
            leads=rank == 0,
        )
        total += told.item()
        for name, each in model.gradients().items():
            gathered[name] = gathered.get(name, torch.zeros_like(each)) + each
    for name, parameter in model.named_parameters():
        parameter.grad = gathered.get(name)
    return total


def whole(model: Towers, dropout: float = 0.0) -> float:
    loss = model.loss(embeddings(model, slice(0, PAIRS), dropout))
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


@pytest.mark.parametrize(
    "passes",
    [
        [[slice(0, 12)]],
        [[slice(0, 5), slice(5, 10), slice(10, 12)]],
        [[slice(0, 6)], [slice(6, 12)]],
        [[slice(0, 4), slice(4, 7)], [slice(7, 11), slice(11, 12)]],
        [[slice(0, 12)], []],
    ],
    ids=["one pass", "three passes", "two ranks", "two ranks of two passes", "a rank without examples"],
)
def test_loss_and_gradient_are_those_of_one_pass(passes: list[list[slice]]) -> None:
    expected, found = Towers(), Towers()
    loss = whole(expected)
    assert split(found, passes) == pytest.approx(loss, abs=1e-6)
    for name, gradient in expected.gradients().items():
        assert torch.allclose(found.gradients()[name], gradient, atol=1e-6), name


def test_a_pass_that_is_made_again_draws_the_same() -> None:
    # Dropout is drawn by the pass's first row, so that two passes are not one; both ways must still agree.
    passes = [slice(0, 6), slice(6, 12)]
    expected, found = Towers(), Towers()
    loss = expected.loss(along_first(embeddings(expected, rows, 0.5) for rows in passes))
    loss.backward()  # type: ignore[no-untyped-call]
    assert split(found, [passes], 0.5) == pytest.approx(loss.item(), abs=1e-6)
    for name, gradient in expected.gradients().items():
        assert torch.allclose(found.gradients()[name], gradient, atol=1e-6), name


def test_a_pass_may_lack_what_others_have() -> None:
    made = [torch.ones(2, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)]
    negatives = torch.ones(2, 3, requires_grad=True)
    passes: list[Embeddings] = [{"text": made[0]}, {"text": made[1], "negative": negatives}]
    coupling.backward(
        lambda number: passes[number],
        2,
        lambda given: given["text"].sum() * given["negative"].sum(),
        own=[],
        gather=lambda own: (dict(own), dict.fromkeys(own, 0)),
        leads=True,
    )
    assert [each.grad is not None and each.grad[0, 0].item() for each in (*made, negatives)] == [6, 6, 9]


def test_embeddings_of_other_lengths_are_filled_up_and_cut_again() -> None:
    made = [torch.ones(2, 3, 4, requires_grad=True), torch.ones(1, 5, 4, requires_grad=True)]

    def loss(given: Embeddings) -> Tensor:
        assert given["tokens"].shape == (3, 5, 4)
        return (given["tokens"] * torch.arange(5)[None, :, None]).sum()

    coupling.backward(
        lambda number: {"tokens": made[number]},
        2,
        loss,
        own=[],
        gather=lambda own: (dict(own), dict.fromkeys(own, 0)),
        leads=True,
    )
    assert [each.grad is not None and each.grad[0, :, 0].tolist() for each in made] == [
        [0, 1, 2],
        [0, 1, 2, 3, 4],
    ]
