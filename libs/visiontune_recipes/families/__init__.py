"""The families of models that can be trained: one module each, plain lines here, no scanning of folders."""

from visiontune_recipes.families import llava
from visiontune_recipes.families.family import Family, LoraTargets, Parts, table

FAMILIES = table(llava.FAMILY)

__all__ = ["FAMILIES", "Family", "LoraTargets", "Parts", "table"]
