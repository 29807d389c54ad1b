"""The families of models that can be trained: one module each, plain lines here, no scanning of folders."""

from visiontune_recipes.families import (
    gemma3,
    idefics3,
    llava,
    paligemma,
    phi4_multimodal,
    smolvlm,
    text,
    video_llava,
)
from visiontune_recipes.families.family import Family, LoraTargets, Parts, table

# A model is of the first family that names its type, else of the first for all types of its kind of class.
FAMILIES = table(
    llava.FAMILY,
    video_llava.FAMILY,
    idefics3.FAMILY,
    smolvlm.FAMILY,
    paligemma.FAMILY,
    gemma3.FAMILY,
    phi4_multimodal.FAMILY,
    text.FAMILY,
)

__all__ = ["FAMILIES", "Family", "LoraTargets", "Parts", "table"]
