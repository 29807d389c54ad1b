"""LLaVA-OneVision: tiles for one picture, whole ones for several, frames for a video (arXiv:2408.03326)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families import llava
from visiontune_recipes.families.family import Family
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method

VIDEO_TOKEN = "<video>"  # noqa: S105 - a token of a vocabulary, not a secret
_TILINGS = [[32, 32], [32, 64], [64, 32], [64, 64]]
# The ChatML of the published models, with the assistant's words and stop token marked. Their own template
# writes a space behind `assistant` that its prompts do not have; what is learnt here is what prompts ask for.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] }}"
    "{% if message['role'] != 'assistant' %}{{ ' ' }}{% endif %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'video' %}{{ '<video>' }}{% endfor %}"
    "{{ '\\n' }}{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def processor(tokenizer: Any) -> Any:
    """The preset's processor: tiles of 32 pixels in patches of 8."""
    from transformers import (  # noqa: PLC0415
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    half = [0.5, 0.5, 0.5]
    sees: dict[str, Any] = {"size": {"height": 32, "width": 32}, "image_mean": half, "image_std": half}
    return LlavaOnevisionProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=LlavaOnevisionImageProcessor(image_grid_pinpoints=_TILINGS, **sees),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(**sees),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )


TINY = Preset(
    name="tiny-llava-onevision",
    family="llava_onevision",
    description="A LLaVA-OneVision of 0.6 M parameters for pictures of tiles of 32 pixels, and short videos.",
    parameter_count=626_304,
    config={
        "model_type": "llava_onevision",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "initializer_range": INITIALIZER_RANGE,
        },
        "initializer_range": INITIALIZER_RANGE,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "image_grid_pinpoints": _TILINGS,
    },
    chat_template=dialogue(image=llava.IMAGE_TOKEN, video=VIDEO_TOKEN),
    processor=processor,
    tokens={"image_token": llava.IMAGE_TOKEN, "video_token": VIDEO_TOKEN},
    token_ids={"image_token_index": llava.IMAGE_TOKEN, "video_token_index": VIDEO_TOKEN},
)

FAMILY = Family(
    name="llava_onevision",
    description="LLaVA-OneVision: answers about one picture in tiles, several pictures, and videos.",
    model_types=("llava_onevision",),
    model_class="transformers:LlavaOnevisionForConditionalGeneration",
    processor_class="transformers:LlavaOnevisionProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT_WITH_VIDEO, Kind.CHAT, Kind.PREFERENCE),
    parts=llava.PARTS,
    lora=llava.LORA,
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    packs=True,
    features_before=llava.FAMILY.features_before,
    presets=(TINY,),
    # All videos of a batch are one tensor.
    video_frames=8,
    unused=llava.unread_layers,
)
