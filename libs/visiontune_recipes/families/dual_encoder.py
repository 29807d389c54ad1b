"""A ViT and a BERT with projections, or other towers that were put together (VisionTextDualEncoderModel)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import Preset
from visiontune_recipes.families.towers import TEXT, VISION, framed, pictures
from visiontune_recipes.spec import Method


def processor(tokenizer: Any) -> Any:
    """The preset's processor."""
    from transformers import VisionTextDualEncoderProcessor, ViTImageProcessor  # noqa: PLC0415

    return VisionTextDualEncoderProcessor(  # type: ignore[no-untyped-call]  # transformers
        ViTImageProcessor(**pictures()), framed(tokenizer)
    )


TINY = Preset(
    name="tiny-dual-encoder",
    family="dual_encoder",
    description="A ViT and a BERT of 0.2 M parameters together, for 32-pixel images.",
    parameter_count=186_369,
    config={
        "model_type": "vision-text-dual-encoder",
        "vision_config": {"model_type": "vit", **VISION},
        # BERT's usual dropout is for models that can afford it.
        "text_config": {
            "model_type": "bert",
            **TEXT,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        "projection_dim": 64,
    },
    chat_template="",
    processor=processor,
)

FAMILY = Family(
    name="dual_encoder",
    description="An image tower and a text tower of any kind, trained to agree as CLIP is.",
    model_types=("vision-text-dual-encoder",),
    model_class="transformers:VisionTextDualEncoderModel",
    processor_class="transformers:VisionTextDualEncoderProcessor",
    objective="contrastive",
    takes=(Kind.CAPTIONED_IMAGE,),
    parts=Parts(
        projector=r"visual_projection\.|text_projection\.|logit_scale",
        vision_tower=r"vision_model\.",
        language_model=r"text_model\.",
    ),
    lora=LoraTargets(
        vision_tower=r"vision_model\..*\.(q_proj|k_proj|v_proj|o_proj|out_proj|fc1|fc2|query|key|value)",
        language_model=r"text_model\..*\.(query|key|value|dense|q_proj|k_proj|v_proj|o_proj|q_lin|k_lin|v_lin)",
        projector=r"(visual|text)_projection",
    ),
    methods=(Method.FULL, Method.LORA),
    presets=(TINY,),
    features_before=r"visual_projection",
)
