"""What PaliGemma takes: one question about an image, and its answer."""

from typing import Any

import pytest
from visiontune_recipes.families.paligemma import encode


def said(role: str, *types: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": each, each: "x"} for each in types]}


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([said("system", "text"), said("user", "image"), said("assistant", "text")], "no system message"),
        ([said("user", "image"), said("assistant", "text")] * 2, "one question with one answer"),
        ([said("user", "text"), said("assistant", "text")], "with an image only"),
    ],
)
def test_another_conversation_is_refused(messages: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encode(None, messages)
