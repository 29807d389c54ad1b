"""The losses of FLAVA's pre-training: transformers' own, told one by one, reaching what they are for."""

from typing import Any

import pytest
import torch
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.families.flava import LOSSES
from visiontune_worker import build, objectives
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.objectives.flava import TERMS, Flava
from visiontune_worker.objectives.objective import InputKind
from visiontune_worker.objectives.pairs import IMAGE, TEXT, of

from tests.support import families, worker_data

FLAVA = FAMILIES["flava"]


def flava(*losses: str) -> Flava:
    spec = families.spec_of(FLAVA, *families.PARTS, hyperparameters={"losses": losses})
    made = build.build(spec, build.Sources(texts=worker_data.texts()))
    made.train()
    found = objectives.of(made, spec)
    assert isinstance(found, Flava)
    return found


def batch(found: Flava, first: int = 0, count: int = 6, epoch: int = 0) -> Any:
    examples = [families.captioned(number) for number in range(first, first + count)]
    return found.collate([found.seen(each, epoch) for each in found.encode(examples)])


def gradients(found: Flava, batches: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
    found.built.model.zero_grad()
    loss = found.backward(found.built, batches, sum(each.weight for each in batches))
    return loss.item(), {
        name: each.grad for name, each in found.built.trainable().items() if each.grad is not None
    }


def test_all_together_are_the_loss_of_transformers() -> None:
    found = flava(*LOSSES)
    given = batch(found)
    ours, _ = gradients(found, [given])
    model, texts, images = found.built.model, of(TEXT, given.inputs), of(IMAGE, given.inputs)
    masked = of("masked", given.inputs)
    assert masked["wrong"].any()
    assert not masked["wrong"].all()
    labels = (masked["labels"] - 1).masked_fill(masked["labels"] == 0, -100)
    order = torch.where(masked["wrong"], torch.arange(6).roll(-1), torch.arange(6))
    reads = {**texts, "input_ids_masked": masked["input_ids"], "mlm_labels": labels}
    sees = {**images, "bool_masked_pos": masked["patches"]}
    with torch.no_grad():
        pairs = model(
            **{name: each[order] for name, each in reads.items()},
            **sees,
            itm_labels=(~masked["wrong"]).long(),
            return_loss=True,
        ).loss
        single = model(**sees, return_loss=True).loss + model(**reads, return_loss=True).loss
        # The contrastive loss is of the right texts, which that call did not see.
        vectors = [found.texts(texts)["vector"], found.images(images)["vector"]]
        logits = vectors[0] @ vectors[1].T * model.flava.logit_scale.exp()
        same = torch.arange(6)
        contrastive = sum(torch.nn.functional.cross_entropy(each, same) for each in (logits, logits.T)) / 2
    assert ours == pytest.approx((pairs + single + contrastive).item(), abs=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_reaches_all_that_trains_for_it(loss: str) -> None:
    found = flava(loss)
    _, reached = gradients(found, [batch(found)])
    assert reached.keys() == found.built.trainable().keys()
    heads = {"mmm": "mmm_text_head", "itm": "itm_head", "mim": "mim_head", "mlm": "mlm_head"}
    assert any(name.startswith(heads.get(loss, "flava.text_projection")) for name in reached)


def test_passes_add_up_to_one_pass() -> None:
    found = flava("global", "mmm", "mim", "mlm")
    found.built.model.eval()
    whole, expected = gradients(found, [batch(found)])
    parts, found_ones = gradients(found, [batch(found, first, 2) for first in (0, 2, 4)])
    assert parts == pytest.approx(whole, abs=1e-5)
    for name, each in expected.items():
        assert (found_ones[name] - each).norm() <= 1e-4 * (1 + each.norm()), name


def test_evaluation_tells_each_loss_and_what_they_add_up_to() -> None:
    found = flava("mmm", "mlm")
    found.built.model.eval()
    examples = [families.captioned(number) for number in range(6)]
    encoded = [found.seen(each, 0) for each in found.encode(examples)]
    with torch.inference_mode():
        parts = [found.measure(found.built.model, [part]) for part in (encoded[:3], encoded[3:])]
        metrics = found.result(parts).metrics
    losses = [f"{name}_loss" for name, loss in TERMS.items() if loss in ("mmm", "mlm")]
    assert {"image_to_text_recall_at_1", *losses} <= metrics.keys()
    assert "global_loss" not in metrics
    assert metrics["loss"] == pytest.approx(sum(metrics[name] for name in losses))


def test_another_epoch_masks_other_parts() -> None:
    found = flava("mmm")
    first, again, other = batch(found), batch(found), batch(found, epoch=1)
    for name in ("masked.input_ids", "masked.patches"):
        assert torch.equal(first.inputs[name], again.inputs[name])
        assert not torch.equal(first.inputs[name], other.inputs[name])
    changed = first.inputs["masked.labels"] > 0
    assert (changed.sum(dim=1) >= 1).all()
    kept = first.inputs["text.input_ids"]
    assert torch.equal(first.inputs["masked.labels"][changed] - 1, kept[changed])
    assert torch.equal(first.inputs["masked.input_ids"][~changed], kept[~changed])
    assert (first.inputs["masked.patches"].flatten(1).sum(dim=1) >= 1).all()


def test_what_an_epoch_masks_is_shown_beside_the_pair() -> None:
    found = flava(*LOSSES)
    [encoded] = found.encode([families.captioned(1)])
    *_, masked = found.model_inputs(found.seen(encoded, 0))
    assert masked.kind is InputKind.MASKED_TEXT
    assert masked.input_ids is not None
    assert masked.trained is not None
    whole = encoded.texts.inputs[found.seen(encoded, 0).texts.place]["input_ids"][0]
    assert masked.trained.any()
    assert torch.equal(masked.input_ids[~masked.trained], whole[~masked.trained])


def test_a_family_without_a_choice_of_losses_refuses_one() -> None:
    clip = FAMILIES["clip"]
    spec = families.spec_of(clip, *families.PARTS, hyperparameters={"losses": ["mlm"]})
    with pytest.raises(ConfigurationFault, match=r"clip does not offer mlm") as fault:
        objectives.of(families.whole(clip), spec)
    assert fault.value.reason == "LOSSES_NOT_OFFERED"
