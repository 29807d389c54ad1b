"""How large a model is, from its config.json alone. Pure, and free of torch: servers ask, too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from visiontune_recipes.families import qwen2_vl
from visiontune_recipes.families.preset import Preset

# Families whose layers and image tokens are counted here. Of others only the worker knows.
COUNTED = frozenset(
    {
        "clip",
        "dual_encoder",
        "gemma3",
        "llava",
        "paligemma",
        "qwen2_5_vl",
        "qwen2_vl",
        "qwen3_vl",
        "siglip",
        "text",
    }
)
# Pixels of a picture that Qwen's processors scale to, where a model does not say otherwise.
_QWEN_PIXELS = (56 * 56, 1_003_520)
# Image tokens stand in the text of these; the others compare a picture with a text.
_COMPARING = frozenset({"clip", "dual_encoder", "siglip"})


@dataclass(frozen=True, slots=True)
class Layers:
    """A stack of equal transformer layers."""

    count: int
    width: int
    inner: int  # of the feed-forward part
    heads: int
    kv_heads: int
    head_width: int
    gated: bool  # three matrices in the feed-forward part, not two

    @property
    def parameters(self) -> int:
        """Weights of all layers, biases and norms aside."""
        attention = 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        return self.count * (attention + (3 if self.gated else 2) * self.width * self.inner)

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters of a rank beside all matrices: rank * (in + out) each (Hu et al. 2021)."""
        outs = self.head_width * (self.heads + self.kv_heads)
        attention = 2 * (2 * self.width + outs) if self.heads else 0
        return self.count * rank * (attention + (3 if self.gated else 2) * (self.width + self.inner))


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model, as far as its memory and its work depend on it."""

    language: Layers
    vocabulary: int
    is_tied: bool  # the head's weights are the embeddings'
    has_head: bool
    vision: Layers | None = None
    patch_px: int = 0
    image_px: int = 0  # side of a picture as the tower sees it; 0: pictures keep their size
    merge: int = 1  # patches along a side that become one token
    image_tokens: int = 0  # in the text, for every picture; 0: by its size, or none
    pixels: tuple[int, int] = _QWEN_PIXELS  # least and most, where pictures keep their size
    compares: bool = False

    @property
    def language_parameters(self) -> int:
        """Weights of the language model with embeddings and head."""
        copies = 2 if self.has_head and not self.is_tied else 1
        return self.language.parameters + copies * self.vocabulary * self.language.width

    @property
    def vision_parameters(self) -> int:
        """Weights of the vision tower with the embedding of patches."""
        if self.vision is None:
            return 0
        return self.vision.parameters + 3 * self.patch_px**2 * self.vision.width

    @property
    def projector_parameters(self) -> int:
        """Weights between the two: two matrices."""
        if self.vision is None:
            return 0
        inside, outside = self.vision.width * self.merge**2, self.language.width
        return inside * outside + (inside if self.merge > 1 else outside) ** 2

    @property
    def parameters(self) -> int:
        """Weights of all parts."""
        return self.language_parameters + self.vision_parameters + self.projector_parameters

    def patches(self, width_px: float, height_px: float) -> int:
        """Places of a picture in the vision tower."""
        if self.vision is None:
            return 0
        if self.image_px:
            return (self.image_px // self.patch_px) ** 2
        least, most = self.pixels
        return round(min(max(width_px * height_px, least), most) / self.patch_px**2)

    def tokens_of_image(self, width_px: float, height_px: float) -> int:
        """Tokens of a picture in the text of the language model."""
        if self.vision is None or self.compares:
            return 0
        return self.image_tokens or max(1, self.patches(width_px, height_px) // self.merge**2)


def sizes_of(family: str, config: Mapping[str, Any], *, vocabulary: int = 0) -> Sizes | None:
    """The sizes of a model of a family in COUNTED; None when its config lacks what they depend on.

    vocabulary: entries, where the config does not say.
    """
    text = {**config, **config.get("text_config", {})}
    vision = config.get("vision_config")
    try:
        language = _layers(text, gated=family not in _COMPARING)
        tower = _layers(vision, gated=family == "qwen2_5_vl") if vision else None
        return Sizes(
            language=language,
            vocabulary=int(text.get("vocab_size") or vocabulary),
            is_tied=bool(text.get("tie_word_embeddings", family in {"paligemma", "gemma3"})),
            has_head=family not in _COMPARING,
            vision=tower,
            patch_px=int(vision["patch_size"]) if vision else 0,
            image_px=int(vision.get("image_size", 0)) if vision and "qwen" not in family else 0,
            merge=int(vision.get("spatial_merge_size", 1)) if vision else 1,
            image_tokens=int(config.get("mm_tokens_per_image", 0)),
            compares=family in _COMPARING,
        )
    except (KeyError, TypeError, ValueError):
        return None


def sizes_of_preset(preset: Preset) -> Sizes | None:
    """The sizes of a preset at its largest vocabulary; None for families that are not COUNTED."""
    if preset.family not in COUNTED:
        return None
    sizes = sizes_of(preset.family, preset.config, vocabulary=preset.vocabulary_size)
    if sizes is None or "qwen" not in preset.family:
        return sizes
    edges = qwen2_vl.pixels()["size"]
    return replace(sizes, pixels=(edges["shortest_edge"], edges["longest_edge"]))


def _layers(config: Mapping[str, Any], *, gated: bool) -> Layers:
    """KeyError for what is missing. Names as in the configs of the families above."""
    width = int(config.get("embed_dim") or config["hidden_size"])
    heads = int(config.get("num_attention_heads") or config["num_heads"])
    inner = config.get("intermediate_size") or width * config.get("mlp_ratio", 4)
    return Layers(
        count=int(config.get("num_hidden_layers") or config["depth"]),
        width=width,
        inner=int(inner),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or width // heads),
        gated=gated,
    )
