"""What the configs of many families say alike of their parts."""

from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_recipes.estimate.defaults import filled
from visiontune_recipes.estimate.layers import Layers, layers_of

Config = Mapping[str, Any]


def text_of(config: Config) -> Config:
    """The config of the language model, with what stands outside of it."""
    known = {"vocab_size": config["vocab_size"]} if config.get("vocab_size") else {}
    return {**config, **filled({**known, **config.get("text_config", {})})}


def is_tied(config: Config, otherwise: bool) -> bool:
    """As transformers: the outermost word counts."""
    told = config.get("tie_word_embeddings", config.get("text_config", {}).get("tie_word_embeddings"))
    return otherwise if told is None else bool(told)


def tower_of(config: Config, *, gated: bool = False, one_qkv: bool = False) -> tuple[Layers, int, int]:
    """A ViT's layers, its other weights without positions, and its patches along a side."""
    vision = filled(config["vision_config"])
    layers = layers_of(vision, gated=gated, biased=True, one_qkv=one_qkv)
    patch = side_of(vision["patch_size"])
    others = (3 * patch**2 + 1) * layers.width + 2 * layers.width
    if vision.get("model_type") == "siglip_vision_model" and vision.get("vision_use_head", True):
        others += pooling(layers)
    return layers, others, side_of(vision.get("image_size", patch)) // patch


def side_of(told: int | Sequence[int]) -> int:
    """Pixels along a side, which some configs tell of both sides."""
    return int(told if isinstance(told, int) else told[0])


def mlp(inside: int, outside: int) -> int:
    """Two matrices with their biases, from one width to another and to that again."""
    return inside * outside + outside**2 + 2 * outside


def pooling(layers: Layers) -> int:
    """An attention that pools a tower's places, as SigLIP has it."""
    return layers.parameters_of_one + layers.width
