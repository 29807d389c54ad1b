"""LLaVA-NeXT: LLaVA 1.5 that sees large pictures as tiles beside a small whole (Liu et al. 2024)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families import llava
from visiontune_recipes.families.family import Family
from visiontune_recipes.families.preset import Preset, dialogue
from visiontune_recipes.spec import Method

# Height and width, multiples of the tower's 32 pixels.
_TILINGS = [[32, 64], [64, 32], [64, 64]]


def processor(tokenizer: Any) -> Any:
    """The preset's processor: tiles of 32 pixels in patches of 8."""
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor  # noqa: PLC0415

    half = [0.5, 0.5, 0.5]
    side = {"height": 32, "width": 32}
    images = LlavaNextImageProcessor(
        size=side, crop_size=side, image_grid_pinpoints=_TILINGS, image_mean=half, image_std=half
    )
    return LlavaNextProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


TINY = Preset(
    name="tiny-llava-next",
    family="llava_next",
    description="A LLaVA-NeXT of 0.6 M parameters that sees a picture as up to five tiles of 32 pixels.",
    parameter_count=625_824,
    config={**llava.TINY.config, "model_type": "llava_next", "image_grid_pinpoints": _TILINGS},
    chat_template=dialogue(image=llava.IMAGE_TOKEN),
    processor=processor,
    tokens=llava.TINY.tokens,
    token_ids=llava.TINY.token_ids,
)

FAMILY = Family(
    name="llava_next",
    description="LLaVA-NeXT (1.6): answers in text about images, large ones as tiles.",
    model_types=("llava_next",),
    model_class="transformers:LlavaNextForConditionalGeneration",
    processor_class="transformers:LlavaNextProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    parts=llava.PARTS,
    lora=llava.LORA,
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=llava.CHAT_TEMPLATE,
    packs=True,
    features_before=llava.FAMILY.features_before,
    presets=(TINY,),
    unused=llava.unread_layers,
)
