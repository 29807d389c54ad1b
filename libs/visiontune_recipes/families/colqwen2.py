"""ColQwen2: Qwen2-VL with a small vector for every token of a query or a page (arXiv:2407.01449)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset
from visiontune_recipes.spec import Method

TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    # Of the prompt around an image; not to be spelt out letter by letter.
    "turn_start_token": "<|im_start|>",
    "turn_end_token": "<|im_end|>",
    "end_token": "<|endoftext|>",
}
SIZE = {"shortest_edge": 4 * 28 * 28, "longest_edge": 9 * 28 * 28}
_TOKEN_IDS = ("image_token", "video_token", "vision_start_token", "vision_end_token")


def processor(tokenizer: Any) -> Any:
    """The preset's processor: 4 to 9 tokens an image."""
    from transformers import ColQwen2Processor, Qwen2VLImageProcessor  # noqa: PLC0415

    # What stands before an image cannot know of it, and without training a query finds its best there.
    prompt = "<|image_pad|><|vision_end|>Describe the image.<|im_end|><|endoftext|>"
    return ColQwen2Processor(Qwen2VLImageProcessor(size=SIZE), tokenizer, visual_prompt_prefix=prompt)


TINY = Preset(
    name="tiny-colqwen2",
    family="colqwen2",
    description="A ColQwen2 of 0.2 M parameters that sees an image as 4 to 9 tokens.",
    parameter_count=182_496,
    config={
        "model_type": "colqwen2",
        "vlm_config": {
            "model_type": "qwen2_vl",
            "text_config": {
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "initializer_range": INITIALIZER_RANGE,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [2, 3, 3],
                },
            },
            "vision_config": {
                "embed_dim": 32,
                "num_heads": 2,
                "hidden_size": 64,
                "depth": 2,
                "initializer_range": INITIALIZER_RANGE,
            },
        },
        "embedding_dim": 32,
    },
    chat_template="",
    processor=processor,
    tokens=TOKENS,
    token_ids={f"{name}_id": TOKENS[name] for name in _TOKEN_IDS},
)

FAMILY = Family(
    name="colqwen2",
    description="ColQwen2: finds pages and pictures by a query, token by token.",
    model_types=("colqwen2",),
    model_class="transformers:ColQwen2ForRetrieval",
    processor_class="transformers:ColQwen2Processor",
    objective="late_interaction",
    takes=(Kind.RETRIEVAL, Kind.CAPTIONED_IMAGE),
    parts=Parts(
        projector=r"vlm\.visual\.merger\.|embedding_proj_layer\.",
        vision_tower=r"vlm\.visual\.",
        language_model=r"vlm\.language_model\.",
    ),
    lora=LoraTargets(
        vision_tower=r"vlm\.visual\.blocks\..*\.(qkv|proj|fc1|fc2)",
        language_model=r"vlm\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        projector=r"vlm\.visual\.merger\.mlp\.(0|2)|embedding_proj_layer",
    ),
    methods=(Method.FULL, Method.LORA),
    presets=(TINY,),
    features_before=r"vlm\.visual\.merger",
)
