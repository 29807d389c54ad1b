"""Weights of few bits: what bitsandbytes is told, and that adapters learn where there is an accelerator."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import LlavaForConditionalGeneration
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.spec import Quantisation
from visiontune_worker import bases, build, quantised
from visiontune_worker.faults import ConfigurationFault, EnvironmentFault
from visiontune_worker.loop import Training

from tests.support import families, worker_data
from tests.support.families import steps
from tests.support.worker_layers import save_base

LLAVA = FAMILIES["llava"]
GPU = torch.device("cuda", 0)


def test_four_bits_are_quantiles_and_eight_are_integers() -> None:
    four = quantised.config(Quantisation.NF4, ["lm_head"], torch.bfloat16)
    assert (four.load_in_4bit, four.bnb_4bit_quant_type, four.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    assert four.bnb_4bit_compute_dtype == torch.bfloat16
    eight = quantised.config(Quantisation.INT8, ["lm_head"], torch.float16)
    assert eight.load_in_8bit
    assert four.llm_int8_skip_modules == eight.llm_int8_skip_modules == ["lm_head"]


def test_a_worker_on_processors_says_what_works() -> None:
    with pytest.raises(EnvironmentFault, match="METHOD_LORA") as lacking:
        quantised.loading(Quantisation.NF4, [], torch.float32, torch.device("cpu"))
    assert lacking.value.reason == "NO_ACCELERATOR"


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="it is installed here")
def test_a_worker_without_the_library_says_what_works() -> None:
    with pytest.raises(EnvironmentFault, match="worker-cuda") as lacking:
        quantised.loading(Quantisation.NF4, [], torch.float32, GPU)
    assert lacking.value.reason == "BITSANDBYTES_MISSING"


def test_an_adapter_is_not_merged_into_few_bits(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    layers = (bases.Layer("m", False, base), bases.Layer("m2", True, tmp_path / "adapter"))
    asked = worker_data.spec(
        {"model": "projects/p/models/m2"},
        adaptation={"method": "METHOD_QLORA"},
        resources={"accelerator_count": 1},
    )
    with pytest.raises(ConfigurationFault, match="m2 cannot be merged") as refused:
        build.build(families.resolved(asked), build.Sources(layers=layers), on_cpu=True)
    assert refused.value.reason == "MERGED_INTO_FEW_BITS"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("kind", list(Quantisation))
def test_adapters_learn_beside_weights_of_few_bits(kind: Quantisation, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    asked = worker_data.spec(
        {"path": str(base)},
        adaptation={"method": "METHOD_QLORA", "quantisation": kind},
        hyperparameters={"learning_rate": 1e-2},
        resources={"accelerator_count": 1},
    )
    spec = families.resolved(asked)
    made = build.build(spec, build.Sources(roots=(tmp_path,)))
    few = [name for name, each in made.model.named_modules() if "bitsandbytes" in type(each).__module__]
    assert any("language_model" in name for name in few)
    assert not any("lm_head" in name or "multi_modal_projector" in name for name in few)
    order = families.training(LLAVA, made).order
    training = Training(made, families.objective(LLAVA, made), spec.hyperparameters, order, total_steps=20)
    made.train()
    batches = steps(LLAVA, made, 1) * 10
    losses = [training.advance(each).loss.item() for each in batches]
    assert losses[-1] < losses[0]
    assert made.peft is not None
    made.peft.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    PeftModel.from_pretrained(LlavaForConditionalGeneration.from_pretrained(base), str(tmp_path / "adapter"))
