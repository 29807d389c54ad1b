"""The families of models that can be trained: one module each, plain lines here, no scanning of folders."""

from visiontune_recipes.families import clip, colpali, colqwen2, dual_encoder, flava, llava, siglip, text
from visiontune_recipes.families.family import Family, LoraTargets, Parts, table

# A model is of the first family that names its type, else of the first for all types of its kind of class.
FAMILIES = table(
    llava.FAMILY,
    clip.FAMILY,
    siglip.FAMILY,
    dual_encoder.FAMILY,
    flava.FAMILY,
    colqwen2.FAMILY,
    colpali.FAMILY,
    text.FAMILY,
)

__all__ = ["FAMILIES", "Family", "LoraTargets", "Parts", "table"]
