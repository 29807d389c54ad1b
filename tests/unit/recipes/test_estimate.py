"""Sizes, memory and what to change, by numbers known from elsewhere."""

import pytest
from visiontune_recipes.estimate.counting import sizes_of, sizes_of_preset
from visiontune_recipes.estimate.memory import MIB, Memory, Pass, memory_of, trainable
from visiontune_recipes.estimate.needs import Change, smaller
from visiontune_recipes.presets import PRESETS, Preset
from visiontune_recipes.spec import (
    Adaptation,
    Hyperparameters,
    Lora,
    Method,
    Part,
    Precision,
    Spec,
)

LLAMA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
QWEN2_VL = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "hidden_size": 1536,
        "patch_size": 14,
        "spatial_merge_size": 2,
    },
}
SMOLVLM = {
    "text_config": {
        "vocab_size": 49_280,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
    },
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    },
    "scale_factor": 4,
}
LARGEST = Pass(examples=4, text_tokens=512, image_tokens=576, patches=576, answer_tokens=128)
WHOLE = Adaptation(
    method=Method.FULL, vision_tower=Part.TRAIN, projector=Part.TRAIN, language_model=Part.TRAIN
)
ADAPTER = Adaptation(
    method=Method.LORA,
    lora=Lora(rank=16),
    vision_tower=Part.FREEZE,
    projector=Part.FREEZE,
    language_model=Part.TRAIN,
)

SPEC = Spec.model_validate(
    {"dataset_version": "projects/p/datasets/d/versions/v1", "base_model": {"preset": "tiny-text"}}
)


def test_large_models_are_counted_from_their_configs() -> None:
    llama = sizes_of("text", LLAMA_7B)
    qwen = sizes_of("qwen2_vl", QWEN2_VL)
    assert llama is not None
    assert qwen is not None
    assert llama.parameters == pytest.approx(6.738e9, rel=0.001)
    assert qwen.parameters == pytest.approx(2.21e9, rel=0.01)
    assert llama.language.lora_parameters(16) == 39_976_960  # peft, on all seven matrices
    assert (qwen.patches(448, 448), qwen.tokens_of_image(448, 448)) == (1024, 256)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda each: each.name)
def test_a_preset_has_the_parameters_that_it_says_it_has(preset: Preset) -> None:
    sizes = sizes_of_preset(preset)
    assert sizes is not None
    assert sizes.parameters == pytest.approx(preset.parameter_count, rel=0.001)
    assert 259 < sizes.vocabulary <= preset.vocabulary_size + 1152  # PaliGemma's processor adds so many
    assert 0 < trainable(sizes, WHOLE, Hyperparameters()) <= sizes.parameters


def test_a_config_that_says_too_little_has_no_sizes() -> None:
    assert sizes_of("text", {"hidden_size": 8}) is None
    assert sizes_of("text", {**LLAMA_7B, "num_hidden_layers": "many"}) is None
    assert sizes_of("text", {**LLAMA_7B, "num_local_experts": 8}) is None
    assert sizes_of("generic", {"text_config": LLAMA_7B, "vision_config": QWEN2_VL["vision_config"]}) is None
    assert sizes_of("of somebody's package", LLAMA_7B) is None


def test_a_config_that_leaves_its_classes_sizes_out_has_them() -> None:
    """As that of llava-hf/llava-1.5-7b-hf does."""
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14}
    told = {
        "text_config": {"model_type": "llama", "vocab_size": 32064},
        "vision_config": {**vision, "num_attention_heads": 16, "image_size": 336},
    }
    sizes = sizes_of("llava", told)
    assert sizes is not None
    assert sizes.parameters == pytest.approx(7.063e9, rel=0.001)
    assert sizes.tokens_of_image(1, 1) == 576


def test_each_way_to_save_memory_saves_its_part() -> None:
    sizes = sizes_of("text", LLAMA_7B)
    assert sizes
    numbers = Hyperparameters(precision=Precision.BF16)

    def memory(adaptation: Adaptation, **changes: object) -> Memory:
        spec = SPEC.model_copy(
            update={"adaptation": adaptation, "hyperparameters": numbers.model_copy(update=changes)}
        )
        return memory_of(sizes, spec, LARGEST, on_gpu=True)

    full, lora = memory(WHOLE), memory(ADAPTER)
    checkpointed = memory(ADAPTER, gradient_checkpointing=True)
    quantised = memory(
        ADAPTER.model_copy(update={"method": Method.QLORA, "quantisation": "QUANTISATION_NF4"})
    )
    assert full.optimiser == 8 * sizes.parameters
    assert lora.optimiser < full.optimiser / 100
    assert checkpointed.activations < lora.activations / 10
    assert quantised.weights < lora.weights / 3
    assert full.peak > lora.peak > checkpointed.peak


def test_a_pass_that_measures_holds_its_pictures_and_what_a_tower_leaves_behind() -> None:
    sizes = sizes_of("smolvlm", SMOLVLM)
    assert sizes
    seen = Pass(
        *(2, 30, 64, 1024, 21), pixels_bytes=1024 * sizes.bytes_of_patch, train_count=32, validation_count=8
    )
    spec = SPEC.model_copy(update={"adaptation": ADAPTER, "hyperparameters": Hyperparameters()})
    one, other = (memory_of(sizes, spec, seen, on_gpu=on_gpu) for on_gpu in (False, True))
    # Measured: 553 to 615 MiB in the tower for eight pictures of 512 px, which are 41 MiB themselves.
    assert one.evaluation == pytest.approx(640 * MIB, rel=0.1)
    assert other.evaluation < one.evaluation
    # Where adapters leave blocks between those that stay, a training's layers hold twice what seven matrices
    # give, less what the two norms keep only for their weights.
    layers = sizes.language
    left = 2 * (3 * layers.width + 2 * layers.kv_width + 2 * layers.inner) - 2 * layers.width
    tokens = seen.examples * seen.text_tokens
    assert one.activations - other.activations == 4 * tokens * layers.count * left
    whole = memory_of(sizes, spec.model_copy(update={"adaptation": WHOLE}), seen, on_gpu=False)
    assert whole.activations == other.activations


def test_smaller_specs_keep_the_step_and_end_with_the_fewest_bits() -> None:
    numbers = Hyperparameters(batch_size=4, gradient_accumulation_steps=2)
    spec = SPEC.model_copy(update={"adaptation": ADAPTER, "hyperparameters": numbers})
    tried = list(smaller(spec, (Method.FULL, Method.LORA, Method.QLORA)))
    for _, less in tried:
        numbers = less.hyperparameters
        assert (numbers.batch_size or 0) * (numbers.gradient_accumulation_steps or 0) == 8
    assert tried[0][0] == ()
    assert tried[1][0][0] == Change("hyperparameters.batch_size", "2")
    assert tried[-1][0][0] == Change("adaptation.method", "METHOD_QLORA")
