"""Qwen2.5-VL: Qwen2-VL with a tower that attends within windows, and times of a video (arXiv:2502.13923)."""

from typing import Any

from visiontune_recipes.families import qwen2_vl
from visiontune_recipes.families.family import Family
from visiontune_recipes.families.preset import Preset, dialogue
from visiontune_recipes.spec import Method


def processor(tokenizer: Any) -> Any:
    """The preset's processor."""
    from transformers import (  # noqa: PLC0415
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    return Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=Qwen2VLImageProcessor(**qwen2_vl.pixels()),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**qwen2_vl.pixels(), cap_pixels_per_frame=False),
    )


TINY = Preset(
    name="tiny-qwen2.5-vl",
    family="qwen2_5_vl",
    description="A Qwen2.5-VL of 0.6 M parameters for small pictures and short videos.",
    parameter_count=543_360,
    config=qwen2_vl.tiny_config(
        "qwen2_5_vl",
        {},
        # Windows of 2 x 2 tokens in the first layer; the second one sees everything.
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "out_hidden_size": 96,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
    ),
    chat_template=dialogue(image=qwen2_vl.IMAGE, video=qwen2_vl.VIDEO),
    processor=processor,
    tokens=qwen2_vl.TOKENS,
    token_ids=qwen2_vl.TOKEN_IDS,
)

PARTS, LORA = qwen2_vl.parts()
FAMILY = Family(
    name="qwen2_5_vl",
    description="Qwen2.5-VL: answers about pictures of any size, several of them, and videos.",
    model_types=("qwen2_5_vl",),
    model_class="transformers:Qwen2_5_VLForConditionalGeneration",
    processor_class="transformers:Qwen2_5_VLProcessor",
    objective="causal_lm",
    takes=qwen2_vl.TAKES,
    parts=PARTS,
    lora=LORA,
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=qwen2_vl.chat_template(qwen2_vl.SYSTEM),
    packs=True,
    features_before=qwen2_vl.FAMILY.features_before,
    presets=(TINY,),
    gguf=True,
)
