"""The rows of the tables fit each other, and nothing here needs torch."""

import re
import subprocess
import sys

import pytest
from visiontune_recipes.families import FAMILIES, table
from visiontune_recipes.families.llava import FAMILY
from visiontune_recipes.objectives import OBJECTIVES
from visiontune_recipes.presets import PRESETS


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_whole(name: str) -> None:
    family = FAMILIES[name]
    assert family.name == name
    assert family.objective in OBJECTIVES
    assert family.takes
    assert family.methods
    if OBJECTIVES[family.objective].couples_examples:
        assert not family.chat_template  # those that compare have no conversations
    assert not family.chat_template or family.encode or "{% generation %}" in family.chat_template
    for pattern in (
        *(getattr(family.parts, part) for part in family.parts.__slots__),
        family.lora.vision_tower,
    ):
        re.compile(pattern)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_belongs_to_a_family(name: str) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.family in FAMILIES
    family = FAMILIES[preset.family]
    speaks = not OBJECTIVES[family.objective].couples_examples and not family.encode
    assert ("{% generation %}" in preset.chat_template) == speaks


def test_a_module_belongs_to_one_part_of_its_family() -> None:
    parts = FAMILY.parts
    assert parts.part_of("model.vision_tower.encoder.layers.0.self_attn.q_proj") == "vision_tower"
    assert parts.part_of("model.multi_modal_projector.linear_1") == "projector"
    assert parts.part_of("model.language_model.layers.0.mlp.up_proj") == "language_model"
    assert parts.part_of("lm_head.weight") == "language_model"
    assert parts.part_of("model") is None


def test_lora_of_the_language_model_never_lands_in_the_tower() -> None:
    pattern = FAMILY.lora.language_model
    assert re.fullmatch(pattern, "model.language_model.layers.1.self_attn.q_proj")
    assert not re.fullmatch(pattern, "model.vision_tower.encoder.layers.1.self_attn.q_proj")


def test_two_families_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="llava"):
        table(FAMILY, FAMILY)


def test_recipes_import_without_torch_grpc_and_protobuf() -> None:
    modules = "visiontune_recipes.check, visiontune_recipes.resolve, visiontune_recipes.presets, sys"
    found = "[m for m in ('torch', 'transformers', 'grpc', 'google.protobuf') if m in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import {modules}; print({found})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
