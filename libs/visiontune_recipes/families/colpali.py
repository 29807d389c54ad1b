"""ColPali: PaliGemma with a small vector for every token of a query or a page (arXiv:2407.01449)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset
from visiontune_recipes.families.towers import pictures
from visiontune_recipes.spec import Method

IMAGE_TOKEN = "<image>"  # noqa: S105 - a token of a vocabulary, not a secret


def processor(tokenizer: Any) -> Any:
    """The preset's processor: 16 tokens an image."""
    from transformers import ColPaliProcessor, SiglipImageProcessor  # noqa: PLC0415

    images: Any = SiglipImageProcessor(**pictures())
    images.image_seq_length = 16
    return ColPaliProcessor(images, tokenizer)


TINY = Preset(
    name="tiny-colpali",
    family="colpali",
    description="A ColPali of 0.2 M parameters for 32-pixel images.",
    parameter_count=193_856,
    config={
        "model_type": "colpali",
        "vlm_config": {
            "model_type": "paligemma",
            "hidden_size": 64,
            "projection_dim": 64,
            "text_config": {
                "model_type": "gemma",
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "initializer_range": INITIALIZER_RANGE,
            },
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": 32,
                "patch_size": 8,
                "projection_dim": 64,
                "vision_use_head": False,
            },
        },
        "embedding_dim": 32,
    },
    chat_template="",
    processor=processor,
    tokens={"image_token": IMAGE_TOKEN},
    token_ids={"image_token_index": IMAGE_TOKEN},
)

FAMILY = Family(
    name="colpali",
    description="ColPali: finds pages and pictures by a query, token by token.",
    model_types=("colpali",),
    model_class="transformers:ColPaliForRetrieval",
    processor_class="transformers:ColPaliProcessor",
    objective="late_interaction",
    takes=(Kind.RETRIEVAL, Kind.CAPTIONED_IMAGE),
    parts=Parts(
        projector=r"vlm\.multi_modal_projector\.|embedding_proj_layer\.",
        vision_tower=r"vlm\.vision_tower\.",
        language_model=r"vlm\.language_model\.",
    ),
    lora=LoraTargets(
        vision_tower=r"vlm\.vision_tower\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"vlm\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        projector=r"vlm\.multi_modal_projector\.linear|embedding_proj_layer",
    ),
    methods=(Method.FULL, Method.LORA),
    presets=(TINY,),
    features_before=r"vlm\.multi_modal_projector",
)
