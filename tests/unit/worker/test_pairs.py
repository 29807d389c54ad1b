"""What an epoch draws of an example, and held-out examples compared, however many ranks there are."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor
from visiontune_worker.objectives import belonging, ranking
from visiontune_worker.objectives.compared import Compared, compare
from visiontune_worker.objectives.joining import along_first
from visiontune_worker.objectives.pairs import Pair, Side, collate
from visiontune_worker.ranks import Ranks

WIDTH = 6


def side(*names: str) -> Side:
    """Names that stand for their contents: each gets a vector of its own."""
    vectors = [
        torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(len(name) + ord(name[0])))
        for name in names
    ]
    return Side(tuple({"vector": each} for each in vectors), belonging.keys(names), names)


def pair(row: int, texts: Sequence[str], images: Sequence[str], negatives: Sequence[str] = ()) -> Pair:
    return Pair(
        name=f"v/examples/{row}",
        text={},
        vision={},
        prompt="",
        expected="",
        texts=side(*texts),
        images=side(*images),
        negatives=side(*negatives),
        row=row,
        draws=belonging.key(f"example {row}"),
    )


def drawn(row: int, seed: int, words: str = "abcd") -> list[int]:
    """Which of four captions each of 200 epochs trains on."""
    several = pair(row, [word * place for place, word in enumerate(words, start=1)], ["x"])
    return [several.seen(seed, epoch).texts.place for epoch in range(200)]


def test_what_is_drawn_follows_from_seed_epoch_and_id_alone() -> None:
    assert drawn(3, seed=7) == drawn(3, seed=7, words="efgh")
    assert all(30 < drawn(3, seed=7).count(place) < 70 for place in range(4))
    assert drawn(3, seed=7) != drawn(3, seed=8)
    assert drawn(3, seed=7) != drawn(4, seed=7)
    alone = pair(0, ["a"], ["x"])
    assert alone.seen(7, 1) is alone


def test_a_batch_has_one_text_and_one_image_of_each_and_all_negatives() -> None:
    made = [pair(0, ["a", "bb"], ["x"], ["n", "mm"]), pair(5, ["a"], ["y", "zz"], ["ooo"])]
    seen = [each.seen(1, 4) for each in made]
    batch = collate(seen)
    assert (batch.weight, batch.examples) == (2, 2)
    assert batch.inputs["text.vector"].shape == batch.inputs["image.vector"].shape == (2, WIDTH)
    assert batch.inputs["negative_rows"].tolist() == [0, 0, 5]
    assert batch.inputs["rows"].tolist() == [0, 5]
    place = seen[1].images.place
    assert torch.equal(batch.inputs["image.vector"][1:], made[1].images.inputs[place]["vector"])
    assert batch.inputs["images"][1] == made[1].images.keys[place]
    assert batch.inputs["texts_of"].tolist() == [made[0].texts.keys.tolist(), [int(made[1].texts.keys[0]), 0]]


class Together(Ranks):
    """Ranks in threads of one process, who meet where real ones do."""

    def __init__(self, rank: int, count: int, barrier: threading.Barrier, told: dict[int, Any]) -> None:
        super().__init__(count=count)
        self._number, self._barrier, self._told = rank, barrier, told

    def exchange(self, value: Any, check: Any = None) -> list[Any]:
        self._barrier.wait(10)
        self._told[self._number] = value
        self._barrier.wait(10)
        return [self._told[rank] for rank in range(self.count)]

    def gather(self, own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, int]]:
        parts = self.exchange(dict(own))
        return along_first(parts), {}


def comparison(ranks: Ranks, batches: Sequence[Sequence[Pair]]) -> Compared:
    return compare(
        batches,
        ranks,
        texts=dict,
        images=dict,
        alike=lambda texts, images: texts["vector"] @ images["vector"].T,
    )


HELD_OUT = [
    pair(0, ["a", "bb"], ["x"]),
    pair(1, ["a"], ["y"], ["n", "x"]),
    pair(2, ["ccc"], ["z"], ["n"]),
    pair(3, ["dddd"], ["y"]),
]


def test_every_different_image_is_one_candidate_and_knows_all_its_texts() -> None:
    found = comparison(Ranks(), [HELD_OUT[:2], HELD_OUT[2:]])
    assert found.text_names == ["a", "bb", "a", "ccc", "dddd"]
    assert found.image_names == ["x", "y", "n", "z"]
    assert found.known.int().tolist() == [
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 1, 0, 0],
    ]
    assert [(each.text, each.image, each.negatives) for each in found.examples] == [
        (0, 0, []),
        (2, 1, [2, 0]),
        (3, 3, [2]),
        (4, 1, []),
    ]
    assert [found.text_names[place] for place in found.distinct] == ["a", "bb", "ccc", "dddd"]
    # Nothing shall find `n`, so that it is asked for no text.
    assert found.texts_found().shape == (3, 4)
    assert found.images_found().shape == (5, 4)
    assert found.best_images(found.examples[1], most=1) == [found.image_names[int(found.alike[2].argmax())]]
    assert ranking.recall(found.images_found(), 4) == 1.0


@pytest.mark.parametrize(
    "parts", [[HELD_OUT[:2], HELD_OUT[2:]], [HELD_OUT, []], [[], HELD_OUT[:1], HELD_OUT[1:]]]
)
def test_ranks_find_together_what_one_process_finds(parts: list[list[Pair]]) -> None:
    barrier, told = threading.Barrier(len(parts)), dict[int, Any]()

    def work(rank: int) -> Compared:
        return comparison(Together(rank, len(parts), barrier, told), [parts[rank]] if parts[rank] else [])

    with ThreadPoolExecutor(len(parts)) as pool:
        every = list(pool.map(work, range(len(parts))))
    alone = comparison(Ranks(), [HELD_OUT])
    for found in every:
        assert found.examples == alone.examples
        assert (found.text_names, found.image_names) == (alone.text_names, alone.image_names)
        assert torch.equal(found.known, alone.known)
        assert torch.allclose(found.alike, alone.alike)
