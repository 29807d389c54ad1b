"""What is trained: models of random weights and photographs in a folder, and how much work an example is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import Qwen2VLImageProcessor
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.families.preset import Preset
from visiontune_recipes.families.qwen2_vl import FAMILY, TINY
from visiontune_worker import bases

from benchmarks.bench_import import Photographs, write_photographs

QUESTION = "What is this a part of?"
# What the published processor makes of a photograph of 640x480: 23 x 17 tokens.
PHOTOGRAPHS = Photographs(8, 640, 480)
DECODER = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": True,
}
TOWER = {
    "depth": 32,
    "embed_dim": 1280,
    "num_heads": 16,
    "hidden_size": 1536,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
LARGE = replace(
    TINY,
    name="Qwen2-VL-2B's shape",
    config={
        "model_type": "qwen2_vl",
        "text_config": DECODER,
        "vision_config": TOWER,
        "tie_word_embeddings": True,
    },
)
# Entries of its vocabulary: a tokenizer that learnt from few texts has fewer.
VOCABULARY = 151_936
SHAPES: Mapping[str, Preset] = {"tiny": TINY, "qwen2-vl-2b": LARGE}


@dataclass(frozen=True, slots=True)
class Model:
    """What a run trains. tokens: of an example, its picture's among them. flops: of an example and a step."""

    name: str
    tokens: int
    flops: float


def flops_of(decoder: int, tokens: int, tower: int, patches: int) -> float:
    """Operations of a step on one example with adapters in the decoder and a frozen tower.

    decoder, tower: their weights. 2 of each weight and token are the forward pass, 2 the gradients of
    activations; the tower has the first alone. Attention's own operations are not counted, nor what adapters
    add, as in Kaplan et al. 2020 (arXiv:2001.08361).
    """
    return 4.0 * decoder * tokens + 2.0 * tower * patches


def prepare(shape: Preset, folder: Path) -> Model:
    """Writes photographs and model below `folder`, as the runs look for them there."""
    (folder / "photographs").mkdir()
    write_photographs(folder / "photographs", PHOTOGRAPHS)
    examples = rows(folder)
    texts = [QUESTION, *(answer_of(row) for row in examples)] * 5
    model, processor, _ = bases.from_preset(shape, bases.Sources(texts=texts), FAMILIES)
    if shape is LARGE:
        model.resize_token_embeddings(VOCABULARY, mean_resizing=False)
        processor.image_processor = Qwen2VLImageProcessor()
        model.to(torch.bfloat16)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    with Image.open(folder / "photographs" / f"{examples[0]['id']}.jpg") as picture:
        seen = processor.apply_chat_template(
            [conversation(examples[0], picture)], tokenize=True, return_dict=True, return_tensors="pt"
        )
    weights = dict.fromkeys(("language_model", "vision_tower"), 0)
    for name, each in model.named_parameters():
        part = FAMILY.parts.part_of(name)
        if part in weights:
            weights[part] += each.numel()
    tokens, patches = seen["input_ids"].shape[1], int(seen["image_grid_thw"].prod())
    flops = flops_of(weights["language_model"], tokens, weights["vision_tower"], patches)
    return Model(shape.name, tokens, flops)


def rows(folder: Path) -> list[dict[str, Any]]:
    """Canonical examples: a photograph, a question, an answer."""
    return [
        {
            "id": path.stem,
            "images": [{"bytes": path.read_bytes(), "path": path.name}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "text": None}, {"type": "text", "text": QUESTION}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": f"Of {path.stem}."}]},
            ],
            "split": "train",
            "metadata": "{}",
        }
        for path in sorted((folder / "photographs").glob("*.jpg"))
    ]


def answer_of(row: dict[str, Any]) -> str:
    """What a row's assistant says."""
    return str(row["messages"][1]["content"][0]["text"])


def conversation(row: dict[str, Any], picture: Image.Image) -> list[dict[str, Any]]:
    """A row as a chat template takes it."""
    asked, said = row["messages"]
    content = [{"type": "image", "image": picture}, asked["content"][1]]
    return [{"role": "user", "content": content}, said]
