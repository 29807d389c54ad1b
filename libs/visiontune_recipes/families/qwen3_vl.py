"""Qwen3-VL: Qwen2.5-VL whose tower feeds several layers of the decoder, with times written between frames."""

from typing import Any

from visiontune_recipes.families import qwen2_vl
from visiontune_recipes.families.family import Family
from visiontune_recipes.families.preset import Preset, dialogue
from visiontune_recipes.spec import Method


def processor(tokenizer: Any) -> Any:
    """The preset's processor."""
    from transformers import (  # noqa: PLC0415
        Qwen2VLImageProcessor,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    # Explicit, as the library is about to change what it does without.
    video = Qwen3VLVideoProcessor(**qwen2_vl.pixels(), cap_pixels_per_frame=False)
    return Qwen3VLProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=Qwen2VLImageProcessor(**qwen2_vl.pixels()), tokenizer=tokenizer, video_processor=video
    )


TINY = Preset(
    name="tiny-qwen3-vl",
    family="qwen3_vl",
    description="A Qwen3-VL of 0.6 M parameters for small pictures and short videos.",
    parameter_count=621_744,
    config=qwen2_vl.tiny_config(
        "qwen3_vl",
        {"head_dim": 24},
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "out_hidden_size": 96,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
    ),
    # The processor itself puts a start and an end around each frame of a video.
    chat_template=dialogue(image=qwen2_vl.IMAGE, video=qwen2_vl.VIDEO),
    processor=processor,
    tokens=qwen2_vl.TOKENS,
    token_ids=qwen2_vl.TOKEN_IDS,
)

PARTS, LORA = qwen2_vl.parts()
FAMILY = Family(
    name="qwen3_vl",
    description="Qwen3-VL: answers about pictures of any size, several of them, and videos.",
    model_types=("qwen3_vl",),
    model_class="transformers:Qwen3VLForConditionalGeneration",
    processor_class="transformers:Qwen3VLProcessor",
    objective="causal_lm",
    takes=qwen2_vl.TAKES,
    parts=PARTS,
    lora=LORA,
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=qwen2_vl.chat_template(""),
    packs=True,
    features_before=r"model\.visual\.(merger|deepstack_merger_list\.\d+)",
    presets=(TINY,),
    gguf=True,
)
