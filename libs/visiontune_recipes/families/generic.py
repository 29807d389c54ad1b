"""Any other model that answers in text about images: known to no family by name, with its own template.

Where its parts are is told by the names that such models use for them. It has no preset and no pattern for
adapters in tower and projector, so that these train whole or not at all.
"""

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.spec import Method

_TOWERS = ("vision_tower", "vision_model", "vision_encoder", "visual", "image_tower", "vision", "vit")
_PROJECTORS = (
    *("multi_modal_projector", "mm_projector", "connector", "merger", "aligner", "vision_projection"),
    *("image_projection", "modality_projection", "perceiver_resampler", "resampler", "qformer"),
)
_WITHIN = r"(?:model\.)?(?:\w+\.)?"

FAMILY = Family(
    name="generic",
    description="Other models that transformers loads for text about images, when they have a chat template.",
    model_types=(),
    model_class="transformers:AutoModelForImageTextToText",
    processor_class="transformers:AutoProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    parts=Parts(
        projector=rf"{_WITHIN}(?:{'|'.join(_PROJECTORS)})\.",
        vision_tower=rf"{_WITHIN}(?:{'|'.join(_TOWERS)})\.",
        language_model=r".*",
    ),
    lora=LoraTargets(
        language_model=(
            rf"(?!{_WITHIN}(?:{'|'.join(_PROJECTORS + _TOWERS)})\.)"
            r".*\.(?:q_proj|k_proj|v_proj|o_proj|qkv_proj|gate_proj|up_proj|down_proj|gate_up_proj)"
        ),
    ),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
)
