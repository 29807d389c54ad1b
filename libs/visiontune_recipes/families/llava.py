"""LLaVA 1.5: a CLIP tower, a two-layer projector and a decoder (Liu et al. 2023, arXiv:2310.03744)."""

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
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

FAMILY = Family(
    name="llava",
    description="LLaVA 1.5: answers in text about images.",
    model_types=("llava",),
    model_class="transformers:LlavaForConditionalGeneration",
    processor_class="transformers:LlavaProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT),
    parts=Parts(
        vision_tower=r"model\.vision_tower\.",
        projector=r"model\.multi_modal_projector\.",
        language_model=r"model\.language_model\.|lm_head\.",
    ),
    lora=LoraTargets(
        vision_tower=r"model\.vision_tower\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"model\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        projector_modules=("multi_modal_projector",),
    ),
    methods=(Method.FULL, Method.LORA),
    chat_template=CHAT_TEMPLATE,
)
