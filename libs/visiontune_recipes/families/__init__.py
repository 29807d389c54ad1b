"""The families of models that can be trained: one module each, plain lines here, no scanning of folders."""

from visiontune_recipes.families import (
    clip,
    colpali,
    colqwen2,
    dual_encoder,
    flava,
    gemma3,
    generic,
    idefics3,
    llava,
    llava_next,
    llava_onevision,
    paligemma,
    phi4_multimodal,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_vl,
    siglip,
    smolvlm,
    text,
    video_llava,
)
from visiontune_recipes.families.family import Family, LoraTargets, Parts, table

# A model is of the first family that names its type, else of the first for all types of its kind of class.
FAMILIES = table(
    llava.FAMILY,
    llava_next.FAMILY,
    llava_onevision.FAMILY,
    qwen2_vl.FAMILY,
    qwen2_5_vl.FAMILY,
    qwen3_vl.FAMILY,
    video_llava.FAMILY,
    idefics3.FAMILY,
    smolvlm.FAMILY,
    paligemma.FAMILY,
    gemma3.FAMILY,
    phi4_multimodal.FAMILY,
    clip.FAMILY,
    siglip.FAMILY,
    dual_encoder.FAMILY,
    flava.FAMILY,
    colqwen2.FAMILY,
    colpali.FAMILY,
    generic.FAMILY,
    text.FAMILY,
)

__all__ = ["FAMILIES", "Family", "LoraTargets", "Parts", "table"]
