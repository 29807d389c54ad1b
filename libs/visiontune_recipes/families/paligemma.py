"""PaliGemma: pictures and a prefix that see each other, an answer (Beyer et al. 2024, arXiv:2407.07726)."""

from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset
from visiontune_recipes.spec import Method

IMAGE_TOKEN = "<image>"  # noqa: S105 - a token of a vocabulary, not a secret

# Of a question alone: the processor writes the rest, and takes the answer as a suffix (see `encode`).
CHAT_TEMPLATE = (
    "{% if messages | length != 1 or messages[0]['role'] != 'user' %}"
    "{{ raise_exception('PaliGemma takes one question at a time, with images, without a system message.') }}"
    "{% endif %}"
    "{% for part in messages[0]['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in messages[0]['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
)


def encode(processor: Any, messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The processor's inputs of one question and its answer, with `assistant_masks`.

    ValueError when the conversation is another one.
    """
    if [message["role"] for message in messages] != ["user", "assistant"]:
        raise ValueError("PaliGemma takes one question with one answer, and no system message")
    question, answer = (message["content"] for message in messages)
    images = [part["image"] for part in question if part["type"] == "image"]
    if not images:
        raise ValueError("PaliGemma takes questions with an image only")
    prefix, suffix = ("".join(part.get("text", "") for part in each) for each in (question, answer))
    found = processor(
        text=[IMAGE_TOKEN * len(images) + prefix], images=[images], suffix=[suffix], return_tensors="pt"
    )
    found.pop("labels")
    # The suffix, of type 1, is the answer and its stop token.
    return {**found, "assistant_masks": found["token_type_ids"]}


def processor(tokenizer: Any) -> Any:
    """The preset's processor: pictures of 32 pixels, of 16 tokens each."""
    from transformers import PaliGemmaProcessor, SiglipImageProcessor  # noqa: PLC0415

    images: Any = SiglipImageProcessor(size={"height": 32, "width": 32})
    images.image_seq_length = 16
    return PaliGemmaProcessor(images, tokenizer)  # type: ignore[no-untyped-call]  # transformers


TINY = Preset(
    name="tiny-paligemma",
    family="paligemma",
    description="A PaliGemma of 0.3 M parameters for 32-pixel images.",
    parameter_count=251_520,
    config={
        "model_type": "paligemma",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        "text_config": {
            "model_type": "gemma",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 2048,
            "initializer_range": INITIALIZER_RANGE,
        },
        "projection_dim": 64,
        "hidden_size": 64,
        "initializer_range": INITIALIZER_RANGE,
    },
    chat_template=CHAT_TEMPLATE,
    processor=processor,
    tokens={"image_token": IMAGE_TOKEN},
    token_ids={"image_token_index": IMAGE_TOKEN},
    vocabulary_size=2048,  # the processor adds 1,152 for places and outlines
)

FAMILY = Family(
    name="paligemma",
    description="PaliGemma: one answer in text about images.",
    model_types=("paligemma",),
    model_class="transformers:PaliGemmaForConditionalGeneration",
    processor_class="transformers:PaliGemmaProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.PREFERENCE),
    parts=Parts(
        vision_tower=r"model\.vision_tower\.",
        projector=r"model\.multi_modal_projector\.",
        language_model=r"model\.language_model\.|lm_head\.",
    ),
    lora=LoraTargets(
        vision_tower=r"model\.vision_tower\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"model\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        projector=r"model\.multi_modal_projector\.linear",
    ),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    presets=(TINY,),
    features_before=r"model\.multi_modal_projector",
    encode=encode,
    most_messages=2,
)
