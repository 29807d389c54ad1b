"""Text: any decoder that transformers knows as a causal language model, without pictures."""

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset
from visiontune_recipes.spec import Method

# For models that come without a template.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + '\\n' }}"
    "{% else %}{{ 'ASSISTANT:' }}{% generation %}{{ ' ' + message['content'] + eos_token }}"
    "{% endgeneration %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

# What architectures call the linear layers of attention and feed-forward; never the head.
_LINEAR = (
    *("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query_key_value", "Wqkv"),
    *("gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "fc_in", "fc_out", "dense"),
    *("dense_h_to_4h", "dense_4h_to_h", "c_attn", "c_proj", "c_fc", "in_proj", "w1", "w2", "w3"),
)

TINY = Preset(
    name="tiny-text",
    family="text",
    description="A decoder of 0.4 M parameters; learns a narrow conversation on a CPU in a minute.",
    parameter_count=362_016,
    config={
        "model_type": "llama",
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": INITIALIZER_RANGE,
    },
    chat_template=(
        "{% for message in messages %}"
        "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}"
        "{% endgeneration %}{% else %}{{ message['content'] + '\\n' }}{% endif %}{% endfor %}"
    ),
    processor=None,
)

FAMILY = Family(
    name="text",
    description="Language models without pictures: any that transformers loads for text generation.",
    model_types=(),
    model_class="transformers:AutoModelForCausalLM",
    processor_class="transformers:AutoTokenizer",
    objective="causal_lm",
    takes=(Kind.CHAT,),
    parts=Parts(language_model=r".*"),
    lora=LoraTargets(language_model=rf"(?!lm_head|embed_out).*\.({'|'.join(_LINEAR)})"),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    packs=True,
    presets=(TINY,),
    gguf=True,
)
