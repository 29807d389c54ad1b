"""Idefics3: a SigLIP tower that sees a picture in tiles, a pixel shuffle and a decoder (arXiv:2408.12637)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method

IMAGE_TOKEN = "<image>"  # noqa: S105 - a token of a vocabulary, not a secret
MOST_TILES_A_SIDE = 6

# The models' own dialogue, with the assistant's words and stop token marked.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% elif message['role'] != 'assistant' %}"
    "{{ ': ' }}{% else %}{{ ':' }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ ' ' }}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ '<end_of_utterance>' }}"
    "{% endgeneration %}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# What the processor writes around a picture and its tiles.
TOKENS = {
    "image_token": IMAGE_TOKEN,
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    **{
        f"row_{row}_col_{column}_token": f"<row_{row}_col_{column}>"
        for row in range(1, MOST_TILES_A_SIDE + 1)
        for column in range(1, MOST_TILES_A_SIDE + 1)
    },
}
SIZES: dict[str, Any] = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
# Of a tile: (32 / 8)² patches, of which the pixel shuffle makes a token from each 2 by 2.
TOKENS_A_TILE = 4
CONFIG: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": INITIALIZER_RANGE,
    },
    "text_config": {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": INITIALIZER_RANGE,
    },
    "scale_factor": 2,
    "tie_word_embeddings": False,
}


def processor(tokenizer: Any) -> Any:
    """The preset's processor: pictures of 64 pixels as four tiles of 32 and the whole as one."""
    from transformers import Idefics3ImageProcessor, Idefics3Processor  # noqa: PLC0415

    return Idefics3Processor(Idefics3ImageProcessor(**SIZES), tokenizer, image_seq_len=TOKENS_A_TILE)


TINY = Preset(
    name="tiny-idefics3",
    family="idefics3",
    description="An Idefics3 of 0.2 M parameters that sees a picture as 4 tiles of 32 pixels and the whole.",
    parameter_count=214_144,
    config={"model_type": "idefics3", **CONFIG},
    chat_template=dialogue(image=IMAGE_TOKEN),
    processor=processor,
    tokens=TOKENS,
    token_ids={"image_token_id": IMAGE_TOKEN},
)

FAMILY = Family(
    name="idefics3",
    description="Idefics3: answers in text about images, which it sees in tiles.",
    model_types=("idefics3",),
    model_class="transformers:Idefics3ForConditionalGeneration",
    processor_class="transformers:Idefics3Processor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    parts=Parts(
        vision_tower=r"model\.vision_model\.",
        projector=r"model\.connector\.",
        language_model=r"model\.text_model\.|lm_head\.",
    ),
    lora=LoraTargets(
        vision_tower=r"model\.vision_model\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"model\.text_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        projector=r"model\.connector\.modality_projection\.proj",
    ),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    packs=True,
    features_before=r"model\.connector",
    presets=(TINY,),
    gguf=True,
)
