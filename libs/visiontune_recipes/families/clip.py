"""CLIP: a tower for images and one for texts, trained to agree (Radford et al. 2021, arXiv:2103.00020)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import Preset
from visiontune_recipes.families.towers import TEXT, VISION, framed, pictures
from visiontune_recipes.spec import Method

# A text is read at its last token. Were that 2, as in old configs, transformers would look elsewhere.
END = "<|endoftext|>"


def processor(tokenizer: Any) -> Any:
    """The preset's processor."""
    from transformers import CLIPImageProcessor, CLIPProcessor  # noqa: PLC0415

    tokenizer.eos_token = END
    images = CLIPImageProcessor(**pictures(), do_center_crop=False)
    return CLIPProcessor(images, framed(tokenizer, end=END))  # type: ignore[no-untyped-call]  # transformers


TINY = Preset(
    name="tiny-clip",
    family="clip",
    description="A CLIP of 0.2 M parameters for 32-pixel images; learns narrow captions in a minute.",
    parameter_count=178_049,
    config={"model_type": "clip", "vision_config": VISION, "text_config": TEXT, "projection_dim": 64},
    chat_template="",
    processor=processor,
    tokens={"end_token": END},
)

FAMILY = Family(
    name="clip",
    description="CLIP: finds images by text and texts by image.",
    model_types=("clip",),
    model_class="transformers:CLIPModel",
    processor_class="transformers:CLIPProcessor",
    objective="contrastive",
    takes=(Kind.CAPTIONED_IMAGE,),
    parts=Parts(
        projector=r"visual_projection\.|text_projection\.|logit_scale",
        vision_tower=r"vision_model\.",
        language_model=r"text_model\.",
    ),
    lora=LoraTargets(
        vision_tower=r"vision_model\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"text_model\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        projector=r"(visual|text)_projection",
    ),
    methods=(Method.FULL, Method.LORA),
    presets=(TINY,),
    features_before=r"visual_projection",
)
