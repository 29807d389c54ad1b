"""FLAVA: towers for images and texts, and one on top of both (Singh et al. 2022, arXiv:2112.04482)."""

from collections.abc import Mapping
from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.family import Family, LoraTargets, Parts
from visiontune_recipes.families.preset import INITIALIZER_RANGE, Preset
from visiontune_recipes.families.towers import TEXT, TOWER, VISION, framed, pictures
from visiontune_recipes.spec import Method, Spec

MASK = "<mask>"
# Losses by the names of the paper: contrastive over the step; masked parts of pairs; whether a text is the
# image's own; masked parts of images and of texts by themselves.
LOSSES = ("global", "mmm", "itm", "mim", "mlm")
# Which of them a weight of the config belongs to.
_WEIGHTS = {
    "global_contrastive_weight": "global",
    "mmm_image_weight": "mmm",
    "mmm_text_weight": "mmm",
    "itm_weight": "itm",
    "mim_weight": "mim",
    "mlm_weight": "mlm",
}


# Which losses reach what. The codebook says what stands in a patch, and stays; poolers are read by nobody.
_REACHED: Mapping[str, frozenset[str]] = {
    r"image_codebook\.|flava\.(image|text|multimodal)_model\.pooler\.": frozenset(),
    r"flava\.(image|text)_projection\.|flava\.logit_scale": frozenset({"global"}),
    r"flava\.multimodal_model\.|flava\.(image|text)_to_mm_projection\.": frozenset({"mmm", "itm"}),
    r"flava\.image_model\.embeddings\.mask_token": frozenset({"mmm", "itm", "mim"}),
    # The tower on top takes what is before these norms.
    r"flava\.image_model\.layernorm\.": frozenset({"global", "mim"}),
    r"flava\.text_model\.layernorm\.": frozenset({"global", "mlm"}),
    r"flava\.image_model\.": frozenset({"global", "mmm", "itm", "mim"}),
    r"flava\.text_model\.": frozenset({"global", "mmm", "itm", "mlm"}),
    r"mmm_(image|text)_head\.": frozenset({"mmm"}),
    r"itm_head\.": frozenset({"itm"}),
    r"mim_head\.": frozenset({"mim"}),
    r"mlm_head\.": frozenset({"mlm"}),
}


def unused(config: Any) -> str:
    """What the losses that have a weight never reach."""
    asked = {loss for name, loss in _WEIGHTS.items() if getattr(config, name)}
    return "|".join(pattern for pattern, losses in _REACHED.items() if not losses & asked)


# Transformers does not know, and peft asks.
LOAD_LINES = "model.flava.get_input_embeddings = lambda: model.flava.text_model.embeddings.word_embeddings\n"
USE_LINES = """
from PIL import Image

texts = ["...", "..."]
picture = Image.open("picture.png").convert("RGB")
inputs = processor(text=texts, images=[picture] * len(texts), padding="max_length", return_tensors="pt")
# The higher, the better a text fits.
print(model(**inputs, return_loss=False).contrastive_logits_per_image[0])
"""


def processor(tokenizer: Any) -> Any:
    """The preset's processor: its pictures are 4 by 4 patches, its codebook sees the same picture."""
    from transformers import FlavaImageProcessor, FlavaProcessor  # noqa: PLC0415

    tokenizer.mask_token = MASK
    small = {"height": 32, "width": 32}
    images = FlavaImageProcessor(
        **pictures(),
        crop_size=small,
        codebook_size=small,
        codebook_crop_size=small,
        input_size_patches=4,
        total_mask_patches=6,
        mask_group_min_patches=1,
    )
    return FlavaProcessor(images, framed(tokenizer))  # type: ignore[no-untyped-call]  # transformers


def prepare(model: Any, spec: Spec) -> None:
    """Tells which its input embeddings are: transformers does not know, and peft asks for them.

    The weights of the losses say which of them the job asks for; the contrastive one is the worker's own.
    """
    model.flava.get_input_embeddings = lambda: model.flava.text_model.embeddings.word_embeddings
    asked = spec.hyperparameters.losses or LOSSES[:1]
    for name, loss in _WEIGHTS.items():
        setattr(model.config, name, float(loss in asked))
        setattr(model, name, float(loss in asked and loss != LOSSES[0]))


# Its first token and its mask begin as zeros: with FLAVA's own 1e-12 their gradients would be a million times
# those of all other weights.
NORMS = {"layer_norm_eps": 1e-5}

TINY = Preset(
    name="tiny-flava",
    family="flava",
    description="A FLAVA of 0.4 M parameters for 32-pixel images.",
    parameter_count=354_817,
    config={
        "model_type": "flava",
        "image_config": {**VISION, **NORMS, "vocab_size": 64},
        "text_config": {**TEXT, **NORMS},
        "multimodal_config": {**TOWER, **NORMS},
        "image_codebook_config": {
            "num_groups": 4,
            "hidden_size": 8,
            "vocab_size": 64,
            "num_blocks_per_group": 1,
        },
        "hidden_size": 64,
        "initializer_range": INITIALIZER_RANGE,
        "projection_dim": 64,
    },
    chat_template="",
    processor=processor,
    tokens={"mask_token": MASK},
)

FAMILY = Family(
    name="flava",
    description="FLAVA: finds images by text and texts by image; can be trained as it was pre-trained.",
    model_types=("flava",),
    model_class="transformers:FlavaForPreTraining",
    processor_class="transformers:FlavaProcessor",
    objective="flava",
    takes=(Kind.CAPTIONED_IMAGE,),
    parts=Parts(
        projector=r"flava\.(image|text)_projection\.|flava\.(image|text)_to_mm_projection\.|flava\.logit_scale",
        vision_tower=r"flava\.image_model\.|image_codebook\.|mim_head\.|mmm_image_head\.",
        language_model=r"flava\.text_model\.|flava\.multimodal_model\.|(mlm|itm|mmm_text)_head\.",
    ),
    lora=LoraTargets(
        vision_tower=r"flava\.image_model\.encoder\..*\.(query|key|value|dense)",
        language_model=r"flava\.text_model\.encoder\..*\.(query|key|value|dense)",
        projector=r"flava\.(image|text)_projection",
    ),
    methods=(Method.FULL, Method.LORA),
    presets=(TINY,),
    unused=unused,
    losses=LOSSES,
    prepare=prepare,
    load_lines=LOAD_LINES,
    use_lines=USE_LINES,
)
