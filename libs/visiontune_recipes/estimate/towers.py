"""Sizes of models that compare a picture with a text: two towers, and projections of both."""

from collections.abc import Callable
from dataclasses import replace

from visiontune_recipes.estimate.layers import layers_of
from visiontune_recipes.estimate.parts import Config, pooling, text_of, tower_of
from visiontune_recipes.estimate.pictures import Whole
from visiontune_recipes.estimate.sizes import Sizes


def _towers(
    config: Config,
    *,
    vision: str = "vision_config",
    projector: Callable[[int, int], int],
    pooled: bool = False,
    first: int = 1,
) -> Sizes:
    """Two towers that compare. pooled: both have a pooler, texts have types. first: tokens before patches."""
    text = text_of(config)
    tower = {**config[vision], "vision_use_head": False}  # one that pools counts as the projector
    layers, others, side = tower_of({"vision_config": tower})
    language = layers_of(text, gated=False, biased=True)
    pooler = 1 if pooled else 0
    positions = int(text.get("max_position_embeddings", 0))
    beside = positions + 4 + pooler * int(text.get("type_vocab_size", 2))
    return Sizes(
        language=language,
        vocabulary=int(text.get("vocab_size", 0)),
        is_tied=True,
        has_head=False,
        vision=layers,
        pictures=Whole(side**2 + first, 0),
        patch_values=3 * int(config[vision]["patch_size"]) ** 2,
        vision_others=others + (side**2 + 2 * first + 2) * layers.width + pooler * layers.width**2,
        language_others=beside * language.width + pooler * language.width**2,
        positions=positions,
        projector_parameters=projector(layers.width, language.width),
    )


def clip(config: Config) -> Sizes:
    """CLIP: two projections to one size."""
    size = int(config.get("projection_dim", 512))
    parts = {part: {"hidden_act": "quick_gelu", **config[part]} for part in ("text_config", "vision_config")}
    return _towers({**config, **parts}, projector=lambda seen, said: (seen + said) * size)


def siglip(config: Config) -> Sizes:
    """SigLIP: one tower pools its places, the other projects; texts are filled up."""
    out = int(text_of(config).get("projection_size") or text_of(config)["hidden_size"])
    made = _towers(config, projector=lambda _, said: (said + 1) * out, first=0)
    head = pooling(made.vision) if made.vision else 0
    positions = int(text_of(config).get("max_position_embeddings", 64))
    return replace(made, projector_parameters=made.projector_parameters + head, text_length=positions)


def dual_encoder(config: Config) -> Sizes:
    """A ViT and a BERT with their poolers, or towers like them."""
    size = int(config.get("projection_dim", 512))
    return _towers(config, projector=lambda seen, said: (seen + said) * size, pooled=True)


def flava(config: Config) -> Sizes:
    """Of the losses the contrastive alone: heads, codebook, the tower on top and the way to it go unread."""
    size, both = int(config["projection_dim"]), config["multimodal_config"]
    width = int(both["hidden_size"])
    made = _towers(
        config,
        vision="image_config",
        projector=lambda seen, said: (seen + said) * (size + width),
        pooled=True,
    )
    assert made.vision  # noqa: S101 - for the type checker: _towers has seen to it
    image, text = made.vision.width, made.language.width
    top = layers_of(both, gated=False, biased=True).parameters + width**2 + 4 * width
    codes = int(config["image_config"].get("vocab_size", 8192))
    words = made.vocabulary
    heads = 2 * (image**2 + codes * image)
    said = 2 * (text**2 + words * text) + width**2 + top
    coded = _codebook(config["image_codebook_config"]) if config.get("init_codebook", True) else 0
    return replace(
        made,
        vision_others=made.vision_others + heads + coded,
        language_others=made.language_others + said,
        unread={
            "vision_tower": heads + coded + image**2,
            "projector": (image + text) * width,
            "language_model": said + text**2,
        },
    )


def _codebook(config: Config) -> int:
    """Weights of the convolutions that say what stands in a patch."""
    width, blocks = int(config["hidden_size"]), int(config["num_blocks_per_group"])
    total = 3 * 49 * width + 8 * width * int(config["vocab_size"])
    inside = width
    for factor in (1, 2, 4, 8)[: int(config["num_groups"])]:
        outside = factor * width
        for _ in range(blocks):
            thin = outside // 4
            total += 9 * (inside * thin + 2 * thin**2) + thin * outside
            total += inside * outside if inside != outside else 0
            inside = outside
    return total
