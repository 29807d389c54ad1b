"""A merged model is, in plain transformers, what the adapter makes of its base."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoProcessor, AutoTokenizer
from visiontune_recipes.families import FAMILIES, Family
from visiontune_worker import artifacts, build

# The fixture `base` comes with its module's helpers.
from tests.contract.families.test_adaptations import (  # noqa: F401
    TAKES_ADAPTERS,
    Base,
    base,
    built,
    shake,
    spec_of,
)
from tests.support.families import batch, outputs

OFTEN = ("dual_encoder", "text")  # LLaVA is merged in tests/integration/worker
ROWS = [
    pytest.param(each, id=each.name, marks=() if each.name in OFTEN else pytest.mark.slow)
    for each in TAKES_ADAPTERS
]


def written(made: build.Built, source: Path, folder: Path) -> Path:
    """The folder of the merged model."""
    spec = spec_of(source, adaptation={"method": "METHOD_LORA"}, publish={"merged": True})
    story = artifacts.Story("projects/p/trainingJobs/j", spec, "", "", {}, {}, 1)
    for artifact in artifacts.names(spec):
        artifacts.write(made, story, artifact, folder / artifact)
    return folder / artifacts.MERGED


def loaded(made: build.Built, folder: Path) -> torch.nn.Module:
    model_class = getattr(transformers, made.family.model_class.partition(":")[2])
    model: torch.nn.Module = model_class.from_pretrained(folder)
    if made.family.prepare:
        made.family.prepare(model, spec_of(folder))
    return model


@pytest.mark.parametrize("family", ROWS)
def test_logits_are_those_of_the_adapter(family: Family, base: Base, tmp_path: Path) -> None:  # noqa: F811
    made = built(base(family))
    shake(made)
    given = batch(family, made)
    adapted = outputs(made.model, given)
    folder = written(made, base(family), tmp_path)
    found = loaded(made, folder)
    assert torch.allclose(outputs(found, given), adapted, atol=1e-5)
    assert {name for name, _ in found.named_parameters()} == {
        name for name, _ in made.model.named_parameters()
    }
    auto = AutoTokenizer if made.processor is made.tokenizer else AutoProcessor
    processor = auto.from_pretrained(folder)
    template = (processor.tokenizer if family.forgets_template else processor).chat_template
    assert template == made.processor.chat_template
    assert made.peft is None


@pytest.mark.parametrize("name", ["gemma3", pytest.param("text", marks=pytest.mark.slow)])
def test_tied_embeddings_that_trained_stay_tied(name: str, base: Base, tmp_path: Path) -> None:  # noqa: F811
    family = FAMILIES[name]
    made = built(base(family), {"method": "METHOD_LORA", "lora": {"train_embeddings": True}})
    shake(made)
    given = batch(family, made)
    adapted = outputs(made.model, given)
    found = loaded(made, written(made, base(family), tmp_path))
    assert torch.allclose(outputs(found, given), adapted, atol=1e-5)


def test_weights_of_16_bits_are_added_up_in_32(
    base: Base,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "LARGEST_FILE", "100KB")
    text = FAMILIES["text"]
    made = built(base(text), hyperparameters={"precision": "PRECISION_BF16"})
    shake(made)
    assert made.peft is not None
    layer: Any = next(each for each in made.peft.modules() if hasattr(each, "lora_A"))
    before = layer.get_base_layer().weight
    assert before.dtype is torch.bfloat16
    summed = (before.float() + layer.get_delta_weight("default").float()).bfloat16()
    folder = written(made, base(text), tmp_path)
    assert torch.equal(layer.get_base_layer().weight, summed)
    # Large ones are cut into several files.
    assert (folder / "model.safetensors.index.json").exists()
    whole = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert whole.dtype is torch.bfloat16
    for name, weight in made.model.state_dict().items():
        assert torch.equal(whole.state_dict()[name], weight)
