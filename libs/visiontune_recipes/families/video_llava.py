"""Video-LLaVA: two towers, of images and of videos, and one projector (Lin et al. 2023, arXiv:2311.10122)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families import llava
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method

IMAGE_TOKEN, VIDEO_TOKEN = "<image>", "<video>"
# What the model was made for; a video of another length is thinned out, or its frames are repeated.
FRAMES = 8

# The dialogue of LLaVA 1.5, with videos.
CHAT_TEMPLATE = llava.CHAT_TEMPLATE.replace(
    "{% if part['type'] == 'image' %}",
    "{% if part['type'] == 'video' %}{{ '<video>' }}{% elif part['type'] == 'image' %}",
)


def unread_layers(config: Any) -> str:
    """What of both towers comes after the last layer that the projector reads."""
    return llava.unread_layers(config, towers="(image|video)_tower")


def processor(tokenizer: Any) -> Any:
    """The preset's processor: pictures and frames of 32 pixels in patches of 8."""
    from transformers import VideoLlavaImageProcessor, VideoLlavaProcessor, VideoLlavaVideoProcessor  # noqa: PLC0415

    size: Any = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    half: Any = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    return VideoLlavaProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=VideoLlavaImageProcessor(**size, **half),
        video_processor=VideoLlavaVideoProcessor(**size, **half),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


TINY = Preset(
    name="tiny-video-llava",
    family="video_llava",
    description="A Video-LLaVA of 0.3 M parameters for 32-pixel images and videos of 8 such frames.",
    parameter_count=282_048,
    config={
        "model_type": "video_llava",
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "projection_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": INITIALIZER_RANGE,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "initializer_range": INITIALIZER_RANGE,
        },
        "vision_feature_layer": -1,
        "image_seq_length": 16,
        "video_seq_length": FRAMES * 17,
    },
    chat_template=dialogue(image=IMAGE_TOKEN, video=VIDEO_TOKEN),
    processor=processor,
    tokens={"image_token": IMAGE_TOKEN, "video_token": VIDEO_TOKEN},
    token_ids={"image_token_index": IMAGE_TOKEN, "video_token_index": VIDEO_TOKEN},
)

FAMILY = Family(
    name="video_llava",
    description="Video-LLaVA: answers in text about images and videos.",
    model_types=("video_llava",),
    model_class="transformers:VideoLlavaForConditionalGeneration",
    processor_class="transformers:VideoLlavaProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_VIDEO, Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    parts=Parts(
        vision_tower=r"model\.(image|video)_tower\.",
        projector=r"model\.multi_modal_projector\.",
        language_model=r"model\.language_model\.|lm_head\.",
    ),
    lora=LoraTargets(
        vision_tower=r"model\.(image|video)_tower\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=llava.FAMILY.lora.language_model,
        projector=llava.FAMILY.lora.projector,
    ),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    presets=(TINY,),
    packs=True,
    features_before=llava.FAMILY.features_before,
    unused=unread_layers,
    video_frames=FRAMES,
)
