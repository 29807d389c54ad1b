"""Gemma 3: a SigLIP tower, a pooling projector and a decoder (Gemma Team 2025, arXiv:2503.19786)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method

# A prompt holds the first for each picture; of it the processor makes itself, soft tokens and the last.
BEGIN_TOKEN, SOFT_TOKEN, END_TOKEN = "<start_of_image>", "<image_soft_token>", "<end_of_image>"

# The models' own dialogue, with the assistant's words and stop token marked. A system message begins the
# first turn of the user.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{% for part in message['content'] %}{% set ns.system = ns.system + part['text'] %}{% endfor %}"
    "{% elif message['role'] == 'user' %}{{ '<start_of_turn>user\\n' }}"
    "{% if ns.system %}{{ ns.system + '\\n\\n' }}{% set ns.system = '' %}{% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<end_of_turn>\\n' }}"
    "{% else %}{{ '<start_of_turn>model\\n' }}{% generation %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ '<end_of_turn>' }}"
    "{% endgeneration %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)


def processor(tokenizer: Any) -> Any:
    """The preset's processor: pictures of 32 pixels, of 16 tokens each."""
    from transformers import Gemma3ImageProcessor, Gemma3Processor  # noqa: PLC0415

    size = {"height": 32, "width": 32}
    return Gemma3Processor(Gemma3ImageProcessor(size=size), tokenizer, image_seq_length=16)


TINY = Preset(
    name="tiny-gemma3",
    family="gemma3",
    description="A Gemma 3 of 0.2 M parameters for 32-pixel images.",
    parameter_count=178_240,
    config={
        "model_type": "gemma3",
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
            "model_type": "gemma3_text",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 512,
            "max_position_embeddings": 2048,
            "initializer_range": INITIALIZER_RANGE,
        },
        "mm_tokens_per_image": 16,
        "initializer_range": INITIALIZER_RANGE,
    },
    chat_template=dialogue(image=BEGIN_TOKEN),
    processor=processor,
    tokens={"image_token": SOFT_TOKEN, "boi_token": BEGIN_TOKEN, "eoi_token": END_TOKEN},
    token_ids={
        "image_token_index": SOFT_TOKEN,
        "boi_token_index": BEGIN_TOKEN,
        "eoi_token_index": END_TOKEN,
    },
)

FAMILY = Family(
    name="gemma3",
    description="Gemma 3: answers in text about images.",
    model_types=("gemma3",),
    model_class="transformers:Gemma3ForConditionalGeneration",
    processor_class="transformers:Gemma3Processor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    parts=Parts(
        vision_tower=r"model\.vision_tower\.",
        projector=r"model\.multi_modal_projector\.",
        language_model=r"model\.language_model\.|lm_head\.",
    ),
    lora=LoraTargets(
        vision_tower=r"model\.vision_tower\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"model\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        # No projector: its weight is a bare parameter, which no low-rank adapter can sit on.
    ),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    presets=(TINY,),
    features_before=r"model\.multi_modal_projector",
    gguf=True,
)
