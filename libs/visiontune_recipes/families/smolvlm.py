"""SmolVLM: Idefics3 made small (Marafioti et al. 2025, arXiv:2504.05299)."""

from dataclasses import replace
from typing import Any

from visiontune_recipes.families import idefics3
from visiontune_recipes.families.preset import Preset


def processor(tokenizer: Any) -> Any:
    """The preset's processor: that of Idefics3's, and one of videos, which the class demands."""
    from transformers import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor  # noqa: PLC0415

    video_size = {"longest_edge": 32}
    # transformers reads it of its keywords, and does not declare it.
    sampling: Any = {"video_sampling": {"fps": 1, "max_frames": 64, "video_size": video_size}}
    return SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(**idefics3.SIZES),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(
            size=video_size,
            max_image_size=video_size,
            **sampling,
            fps=1,
            num_frames=64,
        ),
        image_seq_len=idefics3.TOKENS_A_TILE,
    )


TINY: Preset = replace(
    idefics3.TINY,
    name="tiny-smolvlm",
    family="smolvlm",
    description="A SmolVLM of 0.2 M parameters that sees a picture as 4 tiles of 32 pixels and the whole.",
    config={"model_type": "smolvlm", **idefics3.CONFIG},
    processor=processor,
)

FAMILY = replace(
    idefics3.FAMILY,
    name="smolvlm",
    description="SmolVLM: answers in text about images, which it sees in tiles; small.",
    model_types=("smolvlm",),
    model_class="transformers:SmolVLMForConditionalGeneration",
    processor_class="transformers:SmolVLMProcessor",
    presets=(TINY,),
)
