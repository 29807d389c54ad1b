"""Parameters counted from configs are those of the real classes, built without memory."""

import pytest
import torch
import transformers
from visiontune_recipes.estimate.sizes import sizes_of


@pytest.mark.parametrize(
    ("family", "config", "model"),
    [
        ("llava", "LlavaConfig", "LlavaForConditionalGeneration"),
        ("qwen2_vl", "Qwen2VLConfig", "Qwen2VLForConditionalGeneration"),
        ("qwen2_5_vl", "Qwen2_5_VLConfig", "Qwen2_5_VLForConditionalGeneration"),
        ("qwen3_vl", "Qwen3VLConfig", "Qwen3VLForConditionalGeneration"),
        ("paligemma", "PaliGemmaConfig", "PaliGemmaForConditionalGeneration"),
        ("gemma3", "Gemma3Config", "Gemma3ForConditionalGeneration"),
        ("clip", "CLIPConfig", "CLIPModel"),
        ("siglip", "SiglipConfig", "SiglipModel"),
        ("text", "LlamaConfig", "LlamaForCausalLM"),
    ],
)
def test_counted_parameters_are_the_real_ones(family: str, config: str, model: str) -> None:
    told = getattr(transformers, config)()
    with torch.device("meta"):
        real = getattr(transformers, model)(told)
    counted = sizes_of(family, told.to_dict())
    assert counted is not None
    total = sum(each.numel() for each in real.parameters())
    assert counted.parameters == pytest.approx(total, rel=0.05)
