"""Which texts and images belong together, though the data has them in different examples."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def key(content: str | bytes) -> int:
    """Stands for a text or an image, equal to that of an equal one: 62 bits of its digest, never 0."""
    data = content.encode() if isinstance(content, str) else content
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 2 | 1


def keys(contents: Iterable[str | bytes]) -> Tensor:
    """The key of each: int64 [contents]."""
    return torch.tensor([key(each) for each in contents], dtype=torch.int64)


def known(texts: Tensor, images: Tensor, texts_of: Tensor, images_of: Tensor) -> Tensor:
    """Whether a text and an image stand together in the example of either: bool [texts, images].

    texts: int64 [texts], keys. images: int64 [images]. texts_of: int64 [images, most], all texts of each
    image's example, filled up by 0. images_of: int64 [texts, most], all images of each text's example.
    """
    by_image = (images_of[:, :, None] == images[None, None, :]).any(dim=1)
    by_text = (texts_of[:, :, None] == texts[None, None, :]).any(dim=1)
    return by_image | by_text.T
