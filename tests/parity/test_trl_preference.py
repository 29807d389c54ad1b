"""Our loss of pairs and the one of TRL's DPOTrainer, on the same model and the same pairs."""

import copy
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Image, List, Value
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.spec import Method
from visiontune_worker.objectives.preference import Preference

from tests.support import families
from tests.unit.worker.test_preference import PARTS, pair, shaken

trl = pytest.importorskip("trl")
LLAVA = FAMILIES["llava"]
SAID = List({"role": Value("string"), "content": Value("string")})


def row(number: int) -> dict[str, Any]:
    """The pair as TRL takes it."""
    example = pair(number)
    question, answer = (message["content"][-1]["text"] for message in example.messages)
    return {
        "images": [{"bytes": example.images[0], "path": None}],
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": answer}],
        "rejected": [{"role": "assistant", "content": example.texts[0]}],
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", [Method.FULL, Method.LORA])
def test_the_loss_of_pairs_is_that_of_trl(method: Method, tmp_path: Path) -> None:
    built = families.built(LLAVA, *PARTS, method=method)
    start = copy.deepcopy(built)
    spec = families.spec_of(LLAVA, *PARTS, method=method, preference={"beta": 0.3})
    objective = Preference(built, spec)
    features = Features({"images": List(Image()), "prompt": SAID, "chosen": SAID, "rejected": SAID})
    data = Dataset.from_list([row(number) for number in range(6)], features=features)
    full = method is Method.FULL
    trainer = trl.DPOTrainer(
        model=start.model if full else start.peft,
        ref_model=copy.deepcopy(start.model) if full else None,
        args=trl.DPOConfig(
            output_dir=str(tmp_path), beta=0.3, max_length=None, bf16=False, use_cpu=True, report_to=[],
            gradient_checkpointing=False, per_device_train_batch_size=6,
        ),
        train_dataset=data,
        processing_class=built.processor,
    )  # fmt: skip
    for each in (built, start):
        shaken(each)
    built.model.eval()
    trainer.model.eval()
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator([data[n] for n in range(6)]))
    ours = objective.loss(built.model, objective.collate(objective.encode([pair(n) for n in range(6)])))
    assert ours.summed.item() / 6 == pytest.approx(theirs.item(), abs=1e-5)
    assert abs(theirs.item() - 0.6931) > 1e-3
