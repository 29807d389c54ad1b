"""What of a text and of an image is masked, to be predicted: pure functions of what they draw from."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Shares of BERT: of a text's tokens, and of those what becomes of them.
TOKENS, REPLACED, RANDOM = 0.15, 0.8, 0.1
# Least ratio of a masked rectangle's sides, and how often one is tried, as in BEiT (arXiv:2106.08254).
LEAST_RATIO = 0.3
TRIES = 100


def masked_tokens(rng: np.random.Generator, input_ids: Tensor, tokenizer: Any) -> dict[str, Tensor]:
    """A text with some of its tokens masked, one at least.

    input_ids: int64 [length]. Returns `input_ids`, int64 [1, length], and `labels`, int64 [1, length]: the
    ids of what was masked plus 1, and 0 elsewhere, also in what fills a batch up.
    """
    special = torch.tensor(tokenizer.all_special_ids)
    places = torch.nonzero(~torch.isin(input_ids, special)).flatten().numpy()
    count = min(len(places), max(1, round(TOKENS * len(places))))
    chosen = torch.from_numpy(rng.permutation(places)[:count])
    fate = torch.from_numpy(rng.random(count))
    drawn = torch.from_numpy(rng.integers(0, len(tokenizer), count))
    kept = input_ids[chosen]
    shown = torch.where(fate < REPLACED, tokenizer.mask_token_id, kept)
    shown = torch.where((fate >= REPLACED) & (fate < REPLACED + RANDOM), drawn, shown)
    labels = torch.zeros_like(input_ids).index_put((chosen,), kept + 1)
    return {"input_ids": input_ids.index_put((chosen,), shown)[None], "labels": labels[None]}


def masked_patches(rng: np.random.Generator, processor: Any) -> Tensor:
    """Rectangles of patches, together about as many as the image processor says: bool [1, rows, columns]."""
    size, most = processor.input_size_patches, processor.total_mask_patches
    least, bound = processor.mask_group_min_patches, -math.log(LEAST_RATIO)
    masked = torch.zeros(1, size, size, dtype=torch.bool)
    for _ in range(TRIES):
        room = most - int(masked.sum())
        if room < least:
            break
        area, ratio = rng.uniform(least, room), math.exp(rng.uniform(-bound, bound))
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < height < size and 0 < width < size and height * width <= room:
            top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
            masked[0, top : top + height, left : left + width] = True
    return masked
