"""How the examples of a pass can be laid out follows from objective and family."""

from dataclasses import replace
from typing import Any

import pytest
from visiontune_recipes import objectives
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.objectives import CAUSAL_LM, batchings
from visiontune_recipes.spec import Spec

VERSION = "projects/p/datasets/d/versions/v1"


def spec(**fields: Any) -> Spec:
    return Spec.model_validate({"dataset_version": VERSION, "base_model": {"path": "/m"}, **fields})


@pytest.mark.parametrize(
    ("fields", "packs", "couples", "offered"),
    [
        ({}, True, False, ["PADDED", "LENGTH_GROUPED", "PACKED"]),
        ({}, False, False, ["PADDED", "LENGTH_GROUPED"]),
        ({"objective": "OBJECTIVE_PREFERENCE"}, True, False, ["PADDED", "LENGTH_GROUPED"]),
        ({}, False, True, ["PADDED"]),
    ],
)
def test_what_is_offered(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], packs: bool, couples: bool, offered: list[str]
) -> None:
    if couples:
        other = replace(CAUSAL_LM, couples_examples=True)
        monkeypatch.setattr(objectives, "OBJECTIVES", {CAUSAL_LM.name: other})
    family = replace(FAMILIES["llava"], packs=packs)
    assert [each.name for each in batchings(spec(**fields), family)] == offered
