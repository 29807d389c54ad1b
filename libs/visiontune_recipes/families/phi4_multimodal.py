"""Phi-4-multimodal: images and text; its audio parts are left alone (Microsoft 2025, arXiv:2503.01743)."""

from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset, dialogue
from visiontune_recipes.spec import Method, Spec

IMAGE_TOKEN, AUDIO_TOKEN = "<|image|>", "<|audio|>"
MOST_CROPS = 4  # of a picture of the preset
_IMAGE = r"model\.embed_tokens_extend\.image_embed\."

# The model's own dialogue, with the assistant's words and stop token marked.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ '<|end|>' }}{% endgeneration %}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def unused(config: Any) -> str:
    """The audio encoder, and what of the tower comes after the layer that the projector reads."""
    vision = config.vision_config
    layers, read = vision.num_hidden_layers, vision.feature_layer
    after = (rf"encoder\.layers\.{n}" for n in range(read if read >= 0 else layers + 1 + read, layers))
    tower = rf"{_IMAGE}img_processor\.({'|'.join(['post_layernorm', 'head', *after])})\."
    return rf"{tower}|model\.embed_tokens_extend\.audio_embed\."


def prepare(model: Any, _: Spec) -> None:
    """Lets every patch of a crop see every other, as the model was made and as the class computes by itself.

    transformers 5.23 marks the tower's attention as causal, which PyTorch's own attention obeys in batches in
    which no crop is padded: what a picture is would depend on its company.
    """
    for name, module in model.named_modules():
        if name.startswith("model.embed_tokens_extend.image_embed.") and hasattr(module, "is_causal"):
            module.is_causal = False


def processor(tokenizer: Any) -> Any:
    """The preset's processor: crops of 64 pixels, each in the 32 by 32 patches that the class counts."""
    from transformers import (  # noqa: PLC0415
        Phi4MultimodalFeatureExtractor,
        Phi4MultimodalImageProcessor,
        Phi4MultimodalProcessor,
    )

    size = {"height": 64, "width": 64}
    images = Phi4MultimodalImageProcessor(size=size, patch_size=2, dynamic_hd=MOST_CROPS)
    audio = Phi4MultimodalFeatureExtractor()
    return Phi4MultimodalProcessor(images, audio, tokenizer)  # type: ignore[no-untyped-call]  # transformers


TINY = Preset(
    name="tiny-phi4-multimodal",
    family="phi4_multimodal",
    description="A Phi-4-multimodal of 0.2 M parameters; some 500 tokens an image, as the class counts them.",
    parameter_count=229_088,
    config={
        "model_type": "phi4_multimodal",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "initializer_range": INITIALIZER_RANGE,
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "crop_size": 64,
            "patch_size": 2,
        },
        "audio_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_blocks": 1,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 32,
            "depthwise_separable_out_channel": 32,
            "nemo_conv_channels": 32,
        },
    },
    chat_template=dialogue(image=IMAGE_TOKEN),
    processor=processor,
    tokens={"image_token": IMAGE_TOKEN, "audio_token": AUDIO_TOKEN},
    token_ids={"vision_config.image_token_id": IMAGE_TOKEN, "audio_config.audio_token_id": AUDIO_TOKEN},
)

FAMILY = Family(
    name="phi4_multimodal",
    description="Phi-4-multimodal: answers in text about images; audio is left alone.",
    model_types=("phi4_multimodal",),
    model_class="transformers:Phi4MultimodalForCausalLM",
    processor_class="transformers:Phi4MultimodalProcessor",
    objective="causal_lm",
    takes=(Kind.CHAT_WITH_IMAGES, Kind.CHAT, Kind.PREFERENCE),
    # The audio encoder belongs to no part, so nothing trains it.
    parts=Parts(
        vision_tower=rf"{_IMAGE}img_processor\.",
        projector=rf"{_IMAGE}(img_projection|global_img_feature_extensor|sub_img_feature_extensor)",
        language_model=r"model\.(embed_tokens|layers|norm)\.|lm_head\.",
    ),
    lora=LoraTargets(
        vision_tower=rf"{_IMAGE}img_processor\.encoder\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
        language_model=r"model\.layers\..*\.(qkv_proj|o_proj|gate_up_proj|down_proj)",
        projector=rf"{_IMAGE}img_projection_(up|down)",
    ),
    methods=(Method.FULL, Method.LORA, Method.QLORA),
    chat_template=CHAT_TEMPLATE,
    presets=(TINY,),
    packs=True,
    # Before lines, which train with the projector, are put between the tiles.
    features_before=rf"{_IMAGE}image_token_compression",
    features_by_tile=True,
    unused=unused,
    prepare=prepare,
    forgets_template=True,
)
