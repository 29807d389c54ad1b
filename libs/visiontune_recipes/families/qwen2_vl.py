"""Qwen2-VL: pictures and videos of any size, positions in time, height and width (arXiv:2409.12191)."""

from collections.abc import Mapping
from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method

TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
SYSTEM = "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n"
TAKES = (Kind.CHAT_WITH_IMAGES, Kind.CHAT_WITH_VIDEO, Kind.CHAT, Kind.PREFERENCE)


def chat_template(system: str) -> str:
    """Qwen's dialogue, with the assistant's words and stop token marked. system: said where none is given."""
    first = f"{{% if loop.first and message['role'] != 'system' %}}{{{{ '{system}' }}}}{{% endif %}}"
    content = (
        "{% for part in message['content'] %}"
        f"{{% if part['type'] == 'image' %}}{{{{ '{IMAGE}' }}}}"
        f"{{% elif part['type'] == 'video' %}}{{{{ '{VIDEO}' }}}}"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>' }}"
    )
    return (
        "{% for message in messages %}"
        f"{first if system else ''}{{{{ '<|im_start|>' + message['role'] + '\\n' }}}}"
        f"{{% if message['role'] == 'assistant' %}}{{% generation %}}{content}{{% endgeneration %}}"
        f"{{% else %}}{content}{{% endif %}}{{{{ '\\n' }}}}{{% endfor %}}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


def parts() -> tuple[Parts, LoraTargets]:
    """Where the parts of a Qwen-VL are. The merger projects, inside what is otherwise the tower."""
    return Parts(
        projector=r"model\.visual\.(merger|deepstack_merger_list)\.",
        vision_tower=r"model\.visual\.",
        language_model=r"model\.language_model\.|lm_head\.",
    ), LoraTargets(
        vision_tower=r"model\.visual\.blocks\..*\.(qkv|proj|fc1|fc2|gate_proj|up_proj|down_proj|linear_fc[12])",
        language_model=r"model\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        projector=r"model\.visual\.(merger|deepstack_merger_list\.\d+)\.(mlp\.[02]|linear_fc[12])",
    )


def tiny_config(model_type: str, text: Mapping[str, Any], vision: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a small one: a token of text for each 8 x 8 pixels."""
    return {
        "model_type": model_type,
        "text_config": {
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 4, 4]},
            "initializer_range": INITIALIZER_RANGE,
            **text,
        },
        "vision_config": {
            "depth": 2,
            "num_heads": 4,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "initializer_range": INITIALIZER_RANGE,
            **vision,
        },
    }


def pixels() -> dict[str, Any]:
    """How small presets see: 32 x 32 pixels at least, 96 x 96 at most, a video's frames together."""
    half = [0.5, 0.5, 0.5]
    size = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    return {
        "patch_size": 4,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": size,
        "image_mean": half,
        "image_std": half,
    }


def processor(tokenizer: Any) -> Any:
    """The preset's processor."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor  # noqa: PLC0415

    return Qwen2VLProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=Qwen2VLImageProcessor(**pixels()),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**pixels(), cap_pixels_per_frame=False),
    )


TOKEN_IDS = {
    "image_token_id": TOKENS["image_token"],
    "video_token_id": TOKENS["video_token"],
    "vision_start_token_id": TOKENS["vision_start_token"],
    "vision_end_token_id": TOKENS["vision_end_token"],
}

TINY = Preset(
    name="tiny-qwen2-vl",
    family="qwen2_vl",
    description="A Qwen2-VL of 0.6 M parameters for small pictures and short videos.",
    parameter_count=560_064,
    config=tiny_config("qwen2_vl", {}, {"embed_dim": 64, "hidden_size": 96}),
    chat_template=dialogue(image=IMAGE, video=VIDEO),
    processor=processor,
    tokens=TOKENS,
    token_ids=TOKEN_IDS,
)

_PARTS, _LORA = parts()
FAMILY = Family(
    name="qwen2_vl",
    description="Qwen2-VL: answers about pictures of any size, several of them, and videos.",
    model_types=("qwen2_vl",),
    model_class="transformers:Qwen2VLForConditionalGeneration",
    processor_class="transformers:Qwen2VLProcessor",
    objective="causal_lm",
    takes=TAKES,
    parts=_PARTS,
    lora=_LORA,
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=chat_template(SYSTEM),
    packs=True,
    features_before=r"model\.visual\.merger",
    presets=(TINY,),
    gguf=True,
)
