"""What the presets of families that compare have in common: small towers, small pictures, framed texts."""

from collections.abc import Mapping
from typing import Any

from visiontune_recipes.families.preset import BOS, EOS, INITIALIZER_RANGE

TOWER: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    # As in `preset`; families whose config has no such field start by a rule of their own.
    "initializer_range": INITIALIZER_RANGE,
}
VISION: Mapping[str, Any] = {**TOWER, "image_size": 32, "patch_size": 8}
TEXT: Mapping[str, Any] = {**TOWER, "max_position_embeddings": 64}


def pictures() -> dict[str, Any]:
    """Keyword arguments of image processors: pictures of 32 pixels, values from -1 to 1."""
    half = [0.5, 0.5, 0.5]
    return {"size": {"height": 32, "width": 32}, "image_mean": half, "image_std": half}


def framed(tokenizer: Any, begin: str = BOS, end: str = EOS) -> Any:
    """The tokenizer, putting one token before every text (none when it is empty) and one behind it."""
    from tokenizers.processors import TemplateProcessing  # noqa: PLC0415

    tokens = [each for each in (begin, end) if each]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}".strip(),
        special_tokens=[(each, tokenizer.convert_tokens_to_ids(each)) for each in tokens],
    )
    tokenizer.model_max_length = TEXT["max_position_embeddings"]
    return tokenizer
