"""Models of 50 to 300 million parameters in folders, made from configs, and data of the length that is told.

Every word of their texts is one token of four bytes, which is what a tokenizer of a language makes of it.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPImageProcessor
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.presets import PRESETS
from visiontune_worker import bases, presets
from visiontune_worker.template import tokenizer_of

from tests.support import families

WORDS = [first + vowel + last for first in "bcdfghklmnprstvz" for vowel in "aeiou" for last in "nrs"]


@dataclass(frozen=True)
class Shape:
    """A model: the config of its class, and the preset from which it has its processor."""

    preset: str
    config: Mapping[str, Any]
    picture_px: int = 0


TEXT = Shape(
    "tiny-text",
    {
        "model_type": "llama",
        "vocab_size": 16_000,
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
    },
)
CLIP_BASE = Shape(
    "tiny-clip",
    {
        "model_type": "clip",
        "text_config": {
            "vocab_size": 49_408,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 12,
            "num_attention_heads": 8,
            "max_position_embeddings": 77,
        },
        "vision_config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 224,
            "patch_size": 32,
        },
        "projection_dim": 512,
    },
    picture_px=224,
)
CLIP_SMALL = Shape(
    "tiny-clip",
    {
        "model_type": "clip",
        "text_config": {
            "vocab_size": 49_408,
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "max_position_embeddings": 77,
        },
        "vision_config": {
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "image_size": 224,
            "patch_size": 16,
        },
        "projection_dim": 512,
    },
    picture_px=224,
)
SMOLVLM = Shape(
    "tiny-smolvlm",
    {
        "model_type": "smolvlm",
        "text_config": {
            "model_type": "llama",
            "vocab_size": 49_280,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "head_dim": 64,
            "max_position_embeddings": 8192,
        },
        "vision_config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 256,  # half of the published one's, since processors are slow
            "patch_size": 16,
        },
        "scale_factor": 4,
        "tie_word_embeddings": False,
    },
    picture_px=256,
)

# As published, with its tower's 1,024 patches.
SMOLVLM_512 = replace(
    SMOLVLM,
    config={**SMOLVLM.config, "vision_config": {**SMOLVLM.config["vision_config"], "image_size": 512}},
    picture_px=512,
)


def words(count: int, seed: int) -> str:
    """So many words; the same seed gives the same."""
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def chat(count: int, asked: int, said: int, picture_px: int = 0) -> list[dict[str, Any]]:
    """Conversations of so many words, about a picture if it has a size; every fifth is for validation."""
    return [
        {
            "id": f"chat-{number}",
            "images": [{"bytes": families.scan(number, (picture_px, picture_px)), "path": "a.png"}]
            if picture_px
            else [],
            "messages": [
                families.text("user", words(asked, number), pictures=1 if picture_px else 0),
                families.text("assistant", words(said, number + count)),
            ],
            "split": "validation" if number % 5 == 0 else "train",
            "metadata": "{}",
        }
        for number in range(count)
    ]


def save(shape: Shape, folder: Path) -> Path:
    """Writes the model, with random weights, and its processor as a Hub snapshot is laid out."""
    preset = replace(PRESETS[shape.preset], config=shape.config, vocabulary_size=2000)
    processor = presets.processor(preset, (words(60, seed) for seed in range(400)))
    tokenizer = tokenizer_of(processor)
    if preset.family == "clip":
        processor.image_processor = CLIPImageProcessor()
        tokenizer.model_max_length = 77
    elif preset.family == "smolvlm":
        edge = {"longest_edge": shape.picture_px}
        processor.image_processor.size = processor.image_processor.max_image_size = edge
        side = shape.picture_px // int(shape.config["vision_config"]["patch_size"])
        processor.image_seq_len = (side // int(shape.config["scale_factor"])) ** 2
    config = presets.config(preset, tokenizer)
    # The tokenizer has fewer entries than such models have.
    own = shape.config.get("text_config", shape.config)
    getattr(config, "text_config", config).vocab_size = own["vocab_size"]
    torch.manual_seed(0)
    model = bases._from_config(FAMILIES[preset.family], config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
