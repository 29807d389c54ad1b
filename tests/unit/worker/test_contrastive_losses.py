"""The losses of pairs: the formulas of transformers, but for pairs that resemble each other."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.clip.modeling_clip import image_text_contrastive_loss
from visiontune_worker.objectives import belonging
from visiontune_worker.objectives.contrastive_losses import sigmoid_loss, softmax_loss

NOTHING = torch.eye(6, dtype=torch.bool)


def logits(seed: int = 0, pairs: int = 6) -> Tensor:
    return torch.randn(pairs, pairs, generator=torch.Generator().manual_seed(seed)) * 3


def test_softmax_is_the_loss_of_clip() -> None:
    given = logits()
    assert softmax_loss(given, NOTHING).item() == pytest.approx(image_text_contrastive_loss(given).item())


def test_sigmoid_is_the_loss_of_siglip() -> None:
    given = logits()
    signs = 2 * torch.eye(6) - 1
    expected = -functional.logsigmoid(signs * given).sum(dim=-1).mean()
    assert sigmoid_loss(given, NOTHING).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("loss", [softmax_loss, sigmoid_loss])
def test_what_belongs_together_is_neither_pushed_apart_nor_pulled_together(loss: object) -> None:
    assert callable(loss)
    given = logits().requires_grad_()
    known = NOTHING.clone()
    known[1, 4] = known[4, 1] = True
    loss(given, known).backward()
    assert given.grad is not None
    assert given.grad[1, 4] == given.grad[4, 1] == 0
    assert (given.grad != 0).sum() == 34
    assert torch.equal(known, known.T)


def test_equal_texts_and_equal_images_belong_together() -> None:
    # Examples 0 and 2 have the same caption; 1 and 3 the same image; 3 has a second caption, that of 2.
    texts, images = belonging.keys(["a", "b", "a", "c"]), belonging.keys([b"0", b"1", b"2", b"1"])
    second = torch.tensor([0, 0, 0, belonging.key("a")])
    found = belonging.known(texts, images, torch.stack([texts, second], 1), images[:, None])
    assert found.int().tolist() == [[1, 0, 1, 1], [0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1]]


def test_filling_up_belongs_to_nothing() -> None:
    key = belonging.keys(["a"])
    filled = torch.tensor([[key.item(), 0, 0]])
    assert belonging.known(key, belonging.keys([b"x"]), filled, torch.zeros(1, 3).long()).tolist() == [[True]]
    assert belonging.key("a") == belonging.key(b"a") > 0
