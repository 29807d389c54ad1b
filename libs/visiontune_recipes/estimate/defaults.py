"""What transformers' classes take for sizes that a config.json leaves out; a test compares."""

from collections.abc import Mapping
from typing import Any


def _sizes(width: int, inner: int, layers: int, heads: int, **more: Any) -> Mapping[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **more,
    }


_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "clip_vision_model": _sizes(768, 3072, 12, 12, image_size=224, patch_size=32, hidden_act="quick_gelu"),
    "siglip_vision_model": _sizes(768, 3072, 12, 12, image_size=224, patch_size=16),
    "gemma": _sizes(3072, 24576, 28, 16, num_key_value_heads=16, head_dim=256, vocab_size=256000),
    "gemma2": _sizes(2304, 9216, 26, 8, num_key_value_heads=4, head_dim=256, vocab_size=256000),
    "gemma3_text": _sizes(2304, 9216, 26, 8, num_key_value_heads=4, head_dim=256, vocab_size=262208),
    "llama": _sizes(4096, 11008, 32, 32, vocab_size=32000),
    "mistral": _sizes(4096, 14336, 32, 32, num_key_value_heads=8, vocab_size=32000),
    "qwen2": _sizes(4096, 22016, 32, 32, num_key_value_heads=32, vocab_size=151936),
    "qwen2_vl": {
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "mlp_ratio": 4,
        "hidden_act": "quick_gelu",
    },
    "qwen2_5_vl": {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
    "qwen3_vl": {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2},
}

MODEL_TYPES = tuple(_DEFAULTS)


def filled(config: Mapping[str, Any], model_type: str = "") -> dict[str, Any]:
    """A config with what its class has for what it lacks. model_type: where it does not say."""
    return {**_DEFAULTS.get(str(config.get("model_type") or model_type), {}), **config}
