"""The families of models that can be trained: one module each, plain lines here, no scanning of folders."""

from visiontune_recipes.families import llava, text
from visiontune_recipes.families.family import Family, LoraTargets, Parts, table

# A model is of the first family that names its type, else of the first for all types of its kind of class.
FAMILIES = table(
    llava.FAMILY,
    text.FAMILY,
)

__all__ = ["FAMILIES", "Family", "LoraTargets", "Parts", "table"]
