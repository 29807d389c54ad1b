"""The sizes of a model, from its config.json alone. Pure, and free of torch: servers ask, too."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from visiontune_recipes.estimate import towers
from visiontune_recipes.estimate.defaults import filled
from visiontune_recipes.estimate.layers import UNGATED, Layers, layers_of
from visiontune_recipes.estimate.parts import Config, is_tied, mlp, pooling, side_of, text_of, tower_of
from visiontune_recipes.estimate.pictures import Cropped, Pictures, Scaled, Split, Tiled, Whole
from visiontune_recipes.estimate.sizes import Sizes
from visiontune_recipes.families import colqwen2, idefics3, phi4_multimodal, qwen2_vl, video_llava
from visiontune_recipes.families.preset import Preset

# Pixels of a picture that Qwen's processors scale to, where a model does not say otherwise.
_QWEN_PIXELS = (56 * 56, 1_003_520)
# Crops that Phi-4's processor makes at most, tiles along a side that Idefics3's makes, and tiles of which
# LLaVA-OneVision's keeps the tokens singly, where a model does not say otherwise.
_PHI4_CROPS, _IDEFICS3_TILES, _ONEVISION_TILES = 36, 4, 9
# Frames that LLaVA-OneVision's videos have here, whatever they had.
_ONEVISION_FRAMES = 8


def sizes_of(family: str, config: Config, *, vocabulary: int = 0) -> Sizes | None:
    """The sizes of a model of a family; None when its config lacks what they depend on.

    vocabulary: entries, where the config does not say.
    """
    made = _BUILDERS.get(family)
    try:
        return made({"vocab_size": vocabulary, **config}) if made else None
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def sizes_of_preset(preset: Preset) -> Sizes | None:
    """The sizes of a preset; None for families that are not known here.

    Its vocabulary is what makes its weights as many as it says it has: that of a narrow dataset, such as the
    preset is made for. A wide one has up to `vocabulary_size` entries.
    """
    one, two = (sizes_of(preset.family, preset.config, vocabulary=count) for count in (1, 2))
    if one is None or two is None:
        return None
    own = 1 + (preset.parameter_count - one.parameters) // (two.parameters - one.parameters)
    sizes = sizes_of(preset.family, preset.config, vocabulary=own)
    return replace(sizes, pictures=_seen_by(preset, sizes.pictures)) if sizes else None


def _seen_by(preset: Preset, pictures: Pictures | None) -> Pictures | None:
    """How a preset's processor sees, which its config does not say."""
    match pictures:
        case Scaled():
            edges = (colqwen2.SIZE if preset.family == "colqwen2" else qwen2_vl.pixels()["size"]).values()
            least, most = edges
            return replace(pictures, least=least, most=most)
        case Split():
            return replace(pictures, longest_px=idefics3.SIZES["size"]["longest_edge"])
        case Cropped():
            return replace(pictures, most=phi4_multimodal.MOST_CROPS)
    return pictures


def _speaking(
    config: Config,
    vision: tuple[Layers, int, int],
    pictures: Pictures,
    projector: int,
    *,
    tied: bool = False,
    has_head: bool = True,
    frames: int = 1,
    pixel_values: int = 3,
    **more: Any,
) -> Sizes:
    """A tower, a projector and a decoder. frames: of a place in the tower, of pictures as of videos.

    pixel_values: numbers of a pixel, as they are given to the tower.
    """
    text = text_of(config)
    layers, others, side = vision
    return Sizes(
        language=layers_of(text, gated=True),
        vocabulary=int(text.get("vocab_size", 0)),
        is_tied=is_tied(config, tied),
        has_head=has_head,
        positions=int(text.get("max_position_embeddings") or 0),
        vision=layers,
        pictures=pictures,
        patch_values=pixel_values * side_of(filled(config["vision_config"])["patch_size"]) ** 2 * frames,
        vision_others=others + side**2 * layers.width,
        projector_parameters=projector,
        **more,
    )


def _read_layers(config: Config, layers: Layers, otherwise: int) -> int:
    """How many of the tower's last layers nothing reads."""
    read = config.get("vision_feature_layer", otherwise)
    chosen = [int(each) for each in read] if isinstance(read, list) else [int(read)]
    return layers.count - max(each if each >= 0 else layers.count + 1 + each for each in chosen)


def _llava(config: Config) -> Sizes:
    return _llavas(config, lambda side: Whole(side**2 + _first(config), side**2 + _first(config)))


def _first(config: Config) -> int:
    """1 where the tower's first token is read with its patches."""
    return int(config.get("vision_feature_select_strategy", "default") == "full")


def _llavas(config: Config, pictures: Callable[[int], Pictures], **more: Any) -> Sizes:
    tower = tower_of(config)
    layers, _, side = tower
    width = int(text_of(config)["hidden_size"])
    made = _speaking(config, tower, pictures(side), mlp(layers.width, width) + width, **more)
    return replace(made, unread_layers=_read_layers(config, layers, -2))


def _llava_next(config: Config) -> Sizes:
    px = side_of(filled(config["vision_config"])["image_size"])
    return _llavas(config, lambda side: Tiled(px, side, config["image_grid_pinpoints"]))


def _llava_onevision(config: Config) -> Sizes:
    px = side_of(filled(config["vision_config"])["image_size"])
    told = str(config.get("vision_aspect_ratio", "")).removeprefix("anyres_max_")
    most = int(told) if told.isdigit() else _ONEVISION_TILES
    config = {"vision_feature_layer": -1, **config}
    return _llavas(
        config, lambda side: Tiled(px, side, config["image_grid_pinpoints"], most, _ONEVISION_FRAMES)
    )


def _video_llava(config: Config) -> Sizes:
    return _llavas(config, lambda side: Whole(side**2, side**2, frames=video_llava.FRAMES, more=1), towers=2)


def _qwen(config: Config, *, kind: str = "qwen2_vl", gated: bool = False, **more: Any) -> Sizes:
    text = text_of(config)
    vision = filled(config["vision_config"], kind)
    vision = {key: each for key, each in vision.items() if key != "image_size"}
    layers, others, _ = tower_of({"vision_config": vision}, gated=gated, one_qkv=True)
    merge, patch = int(vision.get("spatial_merge_size", 2)), int(vision["patch_size"])
    inside = layers.width * merge**2
    mergers = 1 + len(vision.get("deepstack_visual_indexes", ()))
    own = vision.get("hidden_size") if "embed_dim" in vision else text["hidden_size"]
    outside = int(vision.get("out_hidden_size") or own or text["hidden_size"])
    merger = inside**2 + inside * outside + inside + outside
    frames = int(vision.get("temporal_patch_size", 2))
    others += (frames - 1) * 3 * patch**2 * layers.width
    others += int(vision.get("num_position_embeddings", 0)) * layers.width
    return _speaking(
        {**config, "vision_config": vision},
        (layers, others, 0),
        Scaled(patch, merge, *_QWEN_PIXELS, together=kind == "qwen3_vl"),
        mergers * merger,
        frames=frames,
        **more,
    )


def _idefics3(config: Config) -> Sizes:
    tower = tower_of(config)
    layers, _, side = tower
    scale, px = int(config.get("scale_factor", 2)), int(config["vision_config"]["image_size"])
    projector = layers.width * scale**2 * int(text_of(config)["hidden_size"])
    seen = Split(px, side**2, side**2 // scale**2, _IDEFICS3_TILES * px)
    # With each pixel's colours comes whether it is there, in 64 bits.
    return _speaking(config, tower, seen, projector, pixel_values=5)


def _paligemma(config: Config, **more: Any) -> Sizes:
    tower = tower_of(config)
    width = int(config.get("projection_dim") or config["text_config"]["hidden_size"])
    layers, _, side = tower
    seen = Whole(side**2, side**2)
    return _speaking(config, tower, seen, (layers.width + 1) * width, tied=True, **more)


def _gemma3(config: Config) -> Sizes:
    tower = tower_of(config)
    layers, _, side = tower
    projector = layers.width * (int(text_of(config)["hidden_size"]) + 1)
    return _speaking(config, tower, Whole(side**2, int(config["mm_tokens_per_image"])), projector, tied=True)


def _phi4(config: Config) -> Sizes:
    tower = tower_of(config)
    layers, others, side = tower
    width = int(config["hidden_size"])
    read = int(config["vision_config"].get("feature_layer", -2))
    seen = Cropped(int(config["vision_config"].get("crop_size", 448)), _PHI4_CROPS)
    made = _speaking(
        config,
        (layers, others + pooling(layers), side),
        seen,
        mlp(layers.width, width) + 2 * layers.width,
        others=_phi4_audio(config["audio_config"], width),
        unread={"vision_tower": pooling(layers)},
    )
    fused = replace(made.language, one_qkv=True, one_gate=True)
    unread_layers = _read_layers({"vision_feature_layer": read}, layers, read)
    return replace(made, language=fused, unread_layers=unread_layers)


def _phi4_audio(audio: Config, out: int) -> int:
    """Weights of the encoder of sounds: conformer blocks, what makes sounds short, and two projections."""
    width, inner = int(audio["hidden_size"]), int(audio["intermediate_size"])
    wide, deep = int(audio["ext_pw_out_channel"]), int(audio["depthwise_separable_out_channel"])
    forward = 3 * width * inner
    convolution = 2 * width * wide + width * deep + deep * width
    block = 2 * forward + 4 * width**2 + convolution
    channels = int(audio["nemo_conv_channels"])
    shortening = 2 * channels**2 + channels * width * (int(audio.get("input_size", 80)) // 8)
    return int(audio["num_blocks"]) * block + shortening + 2 * (width * out + out**2)


def _text_alone(config: Config) -> Sizes:
    text = text_of(config)
    kind = str(text.get("model_type", ""))
    old = kind in UNGATED
    layers = layers_of(text, gated=not old, biased=old)
    positions = int(text.get("max_position_embeddings") or text.get("n_positions") or 0) if old else 0
    return Sizes(
        language=layers,
        vocabulary=int(text.get("vocab_size", 0)),
        is_tied=is_tied(config, kind in {"gpt2", "opt", "bloom", "gemma", "gemma2", "gemma3_text"}),
        has_head=True,
        positions=int(text.get("max_position_embeddings") or text.get("n_positions") or 0),
        language_others=positions * layers.width,
    )


def _retrieving(made: Callable[..., Sizes]) -> Callable[[Config], Sizes]:
    """A model without its head, and a small vector of each token instead."""

    def build(config: Config) -> Sizes:
        whole = made({"vocab_size": config["vocab_size"], **config["vlm_config"]}, has_head=False)
        vectors = (whole.language.width + 1) * int(config.get("embedding_dim", 128))
        return replace(whole, projector_parameters=whole.projector_parameters + vectors)

    return build


def _generic(config: Config) -> Sizes:
    """A tower and a decoder that call their sizes as most do; the config tells the tokens of a picture."""
    tower = tower_of(config)
    layers, _, side = tower
    width = int(text_of(config)["hidden_size"])
    names = (
        "mm_tokens_per_image",
        "image_seq_length",
        "image_seq_len",
        "num_image_tokens",
        "image_token_num",
    )
    tokens = next((int(config[name]) for name in names if config.get(name)), 0)
    if not tokens:
        raise KeyError("image tokens")
    return _speaking(config, tower, Whole(side**2, tokens), mlp(layers.width, width))


_BUILDERS: Mapping[str, Callable[[Config], Sizes]] = {
    "clip": towers.clip,
    "colpali": _retrieving(_paligemma),
    "colqwen2": _retrieving(_qwen),
    "dual_encoder": towers.dual_encoder,
    "flava": towers.flava,
    "gemma3": _gemma3,
    "generic": _generic,
    "idefics3": _idefics3,
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "paligemma": _paligemma,
    "phi4_multimodal": _phi4,
    "qwen2_5_vl": lambda config: _qwen(config, kind="qwen2_5_vl", gated=True),
    "qwen2_vl": _qwen,
    "qwen3_vl": lambda config: _qwen(config, kind="qwen3_vl"),
    "siglip": towers.siglip,
    "smolvlm": _idefics3,
    "text": _text_alone,
    "video_llava": _video_llava,
}
