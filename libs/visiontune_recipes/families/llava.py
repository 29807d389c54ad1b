"""LLaVA 1.5: a CLIP tower, a two-layer projector and a decoder (Liu et al. 2023, arXiv:2310.03744)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method

# The Vicuna dialogue that LLaVA 1.5 was trained on, with the assistant's words and stop token marked.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% for part in message['content'] %}{{ part['text'] }}"
    "{% endfor %}{{ ' ' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ ' ' }}{% else %}{{ 'ASSISTANT:' }}{% generation %}{{ ' ' }}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ eos_token }}{% endgeneration %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

IMAGE_TOKEN = "<image>"  # noqa: S105 - a token of a vocabulary, not a secret


def unread_layers(config: Any, towers: str = "vision_tower") -> str:
    """What of the towers comes after the last layer that the projector reads (`vision_feature_layer`)."""
    read, layers = config.vision_feature_layer, config.vision_config.num_hidden_layers
    chosen = read if isinstance(read, list) else [read]
    last = max(each if each >= 0 else layers + 1 + each for each in chosen)
    after = "|".join([r"post_layernorm", r"head", *(rf"encoder\.layers\.{n}" for n in range(last, layers))])
    return rf"model\.{towers}\.({after})\."


def processor(tokenizer: Any) -> Any:
    """The preset's processor: pictures of 32 pixels in patches of 8."""
    from transformers import CLIPImageProcessor, LlavaProcessor  # noqa: PLC0415

    half = [0.5, 0.5, 0.5]
    return LlavaProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=CLIPImageProcessor(
            size={"height": 32, "width": 32}, do_center_crop=False, image_mean=half, image_std=half
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


TINY = Preset(
    name="tiny-llava",
    family="llava",
    description="A LLaVA of 0.6 M parameters for 32-pixel images; learns a narrow task on a CPU in a minute.",
    parameter_count=625_728,
    config={
        "model_type": "llava",
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 96,
            "intermediate_size": 192,
            "projection_dim": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": INITIALIZER_RANGE,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "initializer_range": INITIALIZER_RANGE,
        },
        "initializer_range": INITIALIZER_RANGE,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "image_seq_length": 16,
    },
    chat_template=dialogue(image=IMAGE_TOKEN),
    processor=processor,
    tokens={"image_token": IMAGE_TOKEN},
    token_ids={"image_token_index": IMAGE_TOKEN},
)

PARTS = Parts(
    vision_tower=r"model\.vision_tower\.",
    projector=r"model\.multi_modal_projector\.|model\.image_newline",
    language_model=r"model\.language_model\.|lm_head\.",
)
LORA = LoraTargets(
    vision_tower=r"model\.vision_tower\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
    language_model=r"model\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
    projector=r"model\.multi_modal_projector\.linear_[12]",
)

FAMILY = Family(
    name="llava",
    description="LLaVA 1.5: answers in text about images.",
    model_types=("llava",),
    model_class="transformers:LlavaForConditionalGeneration",
    processor_class="transformers:LlavaProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    parts=PARTS,
    lora=LORA,
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    presets=(TINY,),
    one_place_an_image=True,
    packs=True,
    features_before=r"model\.multi_modal_projector",
    unused=unread_layers,
)
