"""SigLIP: like CLIP, with a loss for each pair by itself (Zhai et al. 2023, arXiv:2303.15343)."""

import math
from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import EOS, Preset
from visiontune_recipes.families.towers import TEXT, VISION, framed, pictures
from visiontune_recipes.spec import Method, Spec


def processor(tokenizer: Any) -> Any:
    """The preset's processor. Texts have no mask: what fills them up is attended to."""
    from transformers import SiglipImageProcessor, SiglipProcessor  # noqa: PLC0415

    # Both, since only the second is saved.
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = ["input_ids"]
    return SiglipProcessor(  # type: ignore[no-untyped-call]  # transformers
        SiglipImageProcessor(**pictures()), framed(tokenizer, begin="", end=EOS)
    )


def prepare(model: Any, spec: Spec) -> None:
    """Begins a model without weights where the paper did: from transformers' 1 and 0 none learns."""
    if spec.base_model.preset is not None:
        model.logit_scale.data.fill_(math.log(10))
        model.logit_bias.data.fill_(-10)


TINY = Preset(
    name="tiny-siglip",
    family="siglip",
    description="A SigLIP of 0.2 M parameters for 32-pixel images.",
    parameter_count=207_170,
    config={"model_type": "siglip", "vision_config": VISION, "text_config": {**TEXT, "projection_size": 64}},
    chat_template="",
    processor=processor,
)

FAMILY = Family(
    name="siglip",
    description="SigLIP: finds images by text and texts by image, trained pair by pair.",
    model_types=("siglip",),
    model_class="transformers:SiglipModel",
    processor_class="transformers:SiglipProcessor",
    objective="contrastive",
    takes=(Kind.CAPTIONED_IMAGE,),
    parts=Parts(
        projector=r"vision_model\.head\.|text_model\.head\.|logit_scale|logit_bias",
        vision_tower=r"vision_model\.",
        language_model=r"text_model\.",
    ),
    lora=LoraTargets(
        vision_tower=r"vision_model\.encoder\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"text_model\.encoder\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        projector=r"text_model\.head|vision_model\.head\.mlp\.(fc1|fc2)",
    ),
    methods=(Method.FULL, Method.LORA),
    presets=(TINY,),
    features_before=r"vision_model\.head",
    fills_texts=True,
    prepare=prepare,
)
