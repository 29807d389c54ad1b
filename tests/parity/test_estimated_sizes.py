"""Sizes counted from configs are those of the real classes, tokens of pictures those of the processors."""

from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel
from visiontune_recipes.estimate import defaults, memory
from visiontune_recipes.estimate.counting import sizes_of, sizes_of_preset
from visiontune_recipes.estimate.layers import layers_of
from visiontune_recipes.estimate.memory import trainable
from visiontune_recipes.facts import Kind
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import PRESETS, Preset
from visiontune_recipes.spec import Method
from visiontune_worker import data, evaluate, presets
from visiontune_worker.settings import Settings
from visiontune_worker.shards import Example

from tests.support import families, worker_data

REAL = [
    ("llava", "LlavaConfig", "LlavaForConditionalGeneration"),
    ("llava_next", "LlavaNextConfig", "LlavaNextForConditionalGeneration"),
    ("llava_onevision", "LlavaOnevisionConfig", "LlavaOnevisionForConditionalGeneration"),
    ("video_llava", "VideoLlavaConfig", "VideoLlavaForConditionalGeneration"),
    ("qwen2_vl", "Qwen2VLConfig", "Qwen2VLForConditionalGeneration"),
    ("qwen2_5_vl", "Qwen2_5_VLConfig", "Qwen2_5_VLForConditionalGeneration"),
    ("qwen3_vl", "Qwen3VLConfig", "Qwen3VLForConditionalGeneration"),
    ("idefics3", "Idefics3Config", "Idefics3ForConditionalGeneration"),
    ("smolvlm", "SmolVLMConfig", "SmolVLMForConditionalGeneration"),
    ("paligemma", "PaliGemmaConfig", "PaliGemmaForConditionalGeneration"),
    ("gemma3", "Gemma3Config", "Gemma3ForConditionalGeneration"),
    ("phi4_multimodal", "Phi4MultimodalConfig", "Phi4MultimodalForCausalLM"),
    ("clip", "CLIPConfig", "CLIPModel"),
    ("siglip", "SiglipConfig", "SiglipModel"),
    ("flava", "FlavaConfig", "FlavaForPreTraining"),
    ("colqwen2", "ColQwen2Config", "ColQwen2ForRetrieval"),
    ("colpali", "ColPaliConfig", "ColPaliForRetrieval"),
    ("generic", "InternVLConfig", "InternVLForConditionalGeneration"),
    ("text", "LlamaConfig", "LlamaForCausalLM"),
    ("text", "GPT2Config", "GPT2LMHeadModel"),
    ("text", "OPTConfig", "OPTForCausalLM"),
]
PARTS = {
    "language_model": "language_parameters",
    "vision_tower": "vision_parameters",
    "projector": "projector_parameters",
    None: "others",
}
# Higher than wide, wider than high, of a preset's own size, and larger than it looks at.
SHAPES = [(40, 90), (150, 64), (32, 32), (700, 500)]


def on_meta(config: str, model: str) -> tuple[Any, Any]:
    """A class at its own sizes, without memory, and its config."""
    told = getattr(transformers, config)()
    with torch.device("meta"):
        return told, getattr(transformers, model)(told)


@pytest.mark.parametrize(("family", "config", "model"), REAL, ids=[row[1] for row in REAL])
def test_counted_parameters_are_the_real_ones(family: str, config: str, model: str) -> None:
    told, real = on_meta(config, model)
    counted = sizes_of(family, told.to_dict())
    assert counted is not None
    total = sum(each.numel() for each in real.parameters())
    assert counted.parameters == pytest.approx(total, rel=0.01)
    if family == "generic":  # of which parts are guessed by their names
        return
    of_part: dict[str | None, int] = {}
    for name, weight in real.named_parameters():
        part = FAMILIES[family].parts.part_of(name)
        of_part[part] = of_part.get(part, 0) + weight.numel()
    told_of = {part: getattr(counted, PARTS[part]) for part in of_part}
    assert told_of == pytest.approx(of_part, rel=0.05)


@pytest.mark.parametrize("kind", defaults.MODEL_TYPES)
def test_what_configs_leave_out_is_what_the_classes_take(kind: str) -> None:
    config = transformers.AutoConfig.for_model(kind)
    config = config.vision_config if kind.endswith("_vl") else config
    told = defaults.filled({}, kind)
    assert {name: getattr(config, name) for name in told} == told


@pytest.mark.parametrize("method", [Method.FULL, Method.LORA])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_layers_keep_for_the_backward_pass_what_is_told(method: Method, activation: str) -> None:
    """In CLIP's tower, of so many layers that what comes before and after them hardly counts."""
    shape: Any = {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
    }
    config = CLIPVisionConfig(**shape, hidden_act=activation, patch_size=8, image_size=64)
    model: Any = CLIPVisionModel(config)
    if method is Method.LORA:
        targets = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
        model = get_peft_model(model, LoraConfig(r=1, target_modules=targets))
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(pixel_values=torch.randn(4, 3, 64, 64)).last_hidden_state.sum()
    told = memory._per_token(layers_of(config.to_dict(), gated=False), checkpointing=False, adapted=False)
    assert sum(kept.values()) == pytest.approx(told * 4 * 65 * 4, rel=0.05)


def test_the_worker_holds_as_many_examples_as_is_told() -> None:
    assert (evaluate.LARGEST_BATCH, evaluate.WINDOW_BATCHES) == (memory.MOST_MEASURED, memory.MEASURED_WINDOW)
    # One being made, one waiting for room, one being trained on; one worker.
    assert data.AHEAD - 1 + 3 == memory.STEPS_HELD
    assert Settings.model_fields["example_cache_bytes"].default == 2 * memory.KEPT_BYTES


@pytest.mark.parametrize("family", families.often(families.WITH_PRESET))
@pytest.mark.parametrize("method", [Method.FULL, Method.LORA])
def test_as_many_parameters_train_as_are_told(family: Family, method: Method) -> None:
    made = families.built(family, *family.parts.names, method=method)
    spec = families.spec_of(family, *family.parts.names, method=method)
    sizes = sizes_of_preset(families.preset_of(family))
    assert sizes is not None
    told = trainable(sizes, spec.adaptation, spec.hyperparameters)
    assert told == pytest.approx(sum(each.numel() for each in made.trainable().values()), rel=0.05)


@pytest.mark.parametrize(
    "preset",
    [each for each in PRESETS.values() if "image" in " ".join(each.tokens)],
    ids=lambda each: each.name,
)
def test_pictures_have_as_many_tokens_as_the_processor_makes(preset: Preset) -> None:
    processor = presets.processor(preset, worker_data.texts())
    sizes = sizes_of_preset(preset)
    assert sizes is not None
    for width, height in SHAPES:
        counted = _counted(processor, width, height)
        assert sizes.tokens_of_image(width, height) == counted, (width, height)


def _counted(processor: Any, width: int, height: int) -> int:
    """Tokens that stand for one picture in what a processor makes of it."""
    picture = Image.new("RGB", (width, height))
    if hasattr(processor, "process_images"):
        ids = processor.process_images(images=[picture])["input_ids"]
    else:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": "What?"}]
        text = processor.apply_chat_template([{"role": "user", "content": content}])
        ids = processor(text=[text], images=[[picture]], return_tensors="pt")["input_ids"]
    # Gemma 3 has a token of its own that stands for what becomes of pictures.
    soft = getattr(processor.tokenizer, "image_token_id", processor.image_token_id)
    return int((ids == soft).sum())


SEES_VIDEOS = {
    name: family for name, family in families.WITH_PRESET.items() if Kind.CHAT_WITH_VIDEO in family.takes
}


@pytest.mark.parametrize("family", families.often(SEES_VIDEOS))
def test_videos_have_as_many_tokens_as_the_worker_makes(family: Family) -> None:
    made = families.whole(family)
    sizes = sizes_of_preset(families.preset_of(family))
    assert sizes is not None
    assert sizes.pictures is not None
    for frames, side in ((4, 32), (8, 80)):
        video = families.scan(0, (side, side))
        message = families.text("user", "What happens?", frames)
        example = Example(
            "v/1", "v", [video] * frames, [message, families.text("assistant", "It.")], videos={0: frames}
        )
        [encoded] = families.objective(family, made).encode([example])
        counted = int((encoded.input_ids == made.processor.video_token_id).sum())
        assert sizes.pictures.of_video(frames, side, side)[1] == counted, (frames, side)
