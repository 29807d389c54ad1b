"""What is worth a look though nothing is broken: twins, leaks, plain pictures, answers and lengths."""

import io
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage import data as photographs
from visiontune_data import perceptual
from visiontune_data.images import inspect
from visiontune_data.limits import Limits

from tests.support.archives import encoded, jsonl, llava, picture, run, tar, texts

LEAVE = "Keep one, if they are not meant to differ."


def photograph(name: str = "astronaut") -> Image.Image:
    """A real one, 320 x 240."""
    return Image.fromarray(getattr(photographs, name)()).convert("RGB").resize((320, 240))


def again(name: str = "astronaut", quality: int = 50) -> bytes:
    """The same photograph, saved at another quality and half as large."""
    return encoded(photograph(name).resize((160, 120)), "JPEG", quality=quality)


def saved(name: str = "astronaut") -> bytes:
    return encoded(photograph(name), "JPEG", quality=90)


def archive(*images: bytes, splits: str = "") -> bytes:
    """A llava dataset of these images; `splits` has a letter an image."""
    names = [f"{index}.jpg" for index in range(len(images))]
    of = {"t": "train", "v": "validation"}
    more = [{"split": of[letter]} for letter in splits] or [{} for _ in images]
    records = [llava(name, f"It is {name}.", **fields) for name, fields in zip(names, more, strict=True)]
    return tar({"train.jsonl": jsonl(*records)} | dict(zip(names, images, strict=True)))


def hash_of(image: Image.Image) -> int:
    return perceptual.phashes(perceptual.samples(image)[np.newaxis])[0]


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_hashes_are_near_for_the_same_photograph_only(name: str) -> None:
    one = photograph(name)
    same = [
        Image.open(io.BytesIO(again(name))),
        one.resize((100, 75)),
        one.resize((160, 120)),
        one.convert("L").convert("RGB"),
        ImageEnhance.Brightness(one).enhance(0.9),
    ]
    assert max((hash_of(one) ^ hash_of(each)).bit_count() for each in same) <= perceptual.NEAR_BITS
    others = {"astronaut", "chelsea", "coffee", "rocket"} - {name}
    assert min((hash_of(one) ^ hash_of(photograph(other))).bit_count() for other in others) > 12


def test_groups_of_hashes_are_joined_through_others() -> None:
    hashes = [0, 0b1111, 2**63 - 1, 0b1111_1111, 2**40, 2**63 - 2]
    assert perceptual.near_groups(hashes) == [[0, 1, 3, 4], [2, 5]]
    assert perceptual.near_groups([]) == []


def test_groups_are_those_that_a_comparison_of_all_pairs_finds() -> None:
    drawn = random.Random(0)
    hashes = [drawn.getrandbits(64) for _ in range(60)]
    for _ in range(240):  # copies, near ones and some just beyond
        bits = drawn.sample(range(64), drawn.randint(0, perceptual.NEAR_BITS + 2))
        hashes.append(drawn.choice(hashes) ^ sum(1 << bit for bit in bits))
    group_of = list(range(len(hashes)))
    for one, other in itertools.combinations(range(len(hashes)), 2):
        if (hashes[one] ^ hashes[other]).bit_count() <= perceptual.NEAR_BITS:
            kept, dropped = sorted((group_of[one], group_of[other]))
            group_of = [kept if group == dropped else group for group in group_of]
    groups = [[i for i, group in enumerate(group_of) if group == first] for first in sorted(set(group_of))]
    assert perceptual.near_groups(hashes) == [group for group in groups if len(group) > 1]


def test_images_that_look_alike_are_a_warning(tmp_path: Path) -> None:
    outcome = run(archive(saved(), picture(1), again(), saved("coffee"), again(quality=30)), tmp_path)
    assert outcome.version
    assert texts(outcome.report) == [
        f'digits.tar › 0.jpg: looks nearly the same as "2.jpg", "4.jpg". {LEAVE}'
    ]


def test_the_same_bytes_are_no_near_duplicates_too(tmp_path: Path) -> None:
    outcome = run(archive(saved(), saved(), saved("coffee")), tmp_path)
    assert [s.rule for s in outcome.report.rules] == ["duplicate-exact"]


def test_blank_and_tiny_images_are_not_compared(tmp_path: Path) -> None:
    blank = [encoded(Image.new("RGB", (64, 64), (shade,) * 3), "JPEG") for shade in (10, 200)]
    tiny = [picture(1, size=(31, 200)), encoded(Image.open(io.BytesIO(picture(1, size=(31, 200)))), "JPEG")]
    outcome = run(archive(*blank, *tiny), tmp_path)
    assert not texts(outcome.report, "duplicate-near")


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_images_that_look_alike_are_never_divided_by_the_splits(fraction: float, tmp_path: Path) -> None:
    names = ["astronaut", "chelsea", "coffee", "rocket", "retina"]
    images = [made(name) for name in names for made in (saved, again)]
    version = run(archive(*images), tmp_path, validation_fraction=fraction).version
    assert version
    splits = list(version.row_splits)
    assert splits[::2] == splits[1::2]
    assert set(splits) == {0, 1}


def test_named_splits_that_share_an_image_are_an_error_and_nearly_sharing_a_warning(tmp_path: Path) -> None:
    exact = run(archive(saved(), saved(), saved("coffee"), splits="tvt"), tmp_path)
    assert exact.version is None
    assert texts(exact.report, "split-leak") == [
        "digits.tar › 0.jpg: the image is in the splits train and validation. Keep it in one of them.",
        "digits.tar › 1.jpg: the image is in the splits train and validation. Keep it in one of them.",
    ]
    near = run(archive(saved(), again(), saved("coffee"), splits="tvt"), tmp_path)
    assert near.version
    assert texts(near.report, "split-leak-near") == [
        (
            "digits.tar › 0.jpg: in the splits train and validation is this or nearly this image, "
            'as "1.jpg". '
            "Put them into one split, or let the import decide the splits."
        )
    ]


def test_a_picture_of_nearly_one_colour_is_a_warning() -> None:
    noise = np.full((48, 64, 3), 100, np.uint8)
    noise[::3] = 103
    found = inspect(encoded(Image.fromarray(noise), "PNG"), "a.png", Limits()).problems
    assert [problem.text("d.zip") for problem in found] == [
        (
            "d.zip › a.png: pixels differ by at most 3 of 255 from each other, near #646464. "
            "Check that it is not empty."
        )
    ]
    noise[10:14, 10:40] = 160  # a line of text
    assert inspect(encoded(Image.fromarray(noise), "PNG"), "a.png", Limits()).problems == ()


def test_a_message_of_nothing_is_a_warning(tmp_path: Path) -> None:
    record = llava(question=" ")
    assert texts(run(tar({"train.jsonl": jsonl(record)}), tmp_path).report) == [
        (
            "digits.tar › train.jsonl:1 › $.conversations[0].value: the message has neither text nor an "
            "image. Write the question, or remove the message."
        )
    ]


def with_answers(*answers: str) -> bytes:
    return tar({"train.jsonl": jsonl(*(llava(answer=answer, id=str(n)) for n, answer in enumerate(answers)))})


def test_labels_that_are_skewed_are_a_warning(tmp_path: Path) -> None:
    outcome = run(with_answers(*["cat"] * 40, *["dog"] * 20, "owl", "owl"), tmp_path)
    assert texts(outcome.report, "label-skew") == [
        (
            'digits.tar: 40 examples have the answer "cat", 2 have "owl". '
            "Add examples of the rare ones, or leave some of the frequent out."
        )
    ]
    assert not texts(run(with_answers(*["cat"] * 20, *["dog"] * 20, "owl", "owl"), tmp_path).report)


def test_answers_that_are_sentences_are_no_labels(tmp_path: Path) -> None:
    answers = ["I cannot see it."] * 25 + [f"It is number {n}." for n in range(30)]
    assert not texts(run(with_answers(*answers), tmp_path).report)


def test_identical_answers_are_a_warning(tmp_path: Path) -> None:
    assert texts(run(with_answers(*["yes"] * 30), tmp_path).report) == [
        'digits.tar: 30 of 30 examples have the answer "yes". Check that the answers are the ones you meant.'
    ]


def test_examples_longer_than_a_context_are_counted(tmp_path: Path) -> None:
    cut = "Shorten them, or train with a model and a length that take them; else they are cut."
    outcome = run(with_answers("word " * 4_000, "word " * 7_000, "short"), tmp_path)
    assert texts(outcome.report, "context-length") == [
        f"digits.tar: 2 of 3 examples take about more than 4,096 tokens; the longest about 8,755. {cut}",
        f"digits.tar: 1 of 3 examples take about more than 8,192 tokens; the longest about 8,755. {cut}",
    ]


def test_captions_are_measured_by_the_context_of_clip(tmp_path: Path) -> None:
    records = [{"file_name": "a.jpg", "text": "word " * 80}, {"file_name": "b.jpg", "text": "a word"}]
    files = {"metadata.jsonl": jsonl(*records), "a.jpg": saved(), "b.jpg": saved("coffee")}
    (line,) = texts(run(tar(files), tmp_path).report, "context-length")
    assert line.startswith(
        "digits.tar: 1 of 2 examples take about more than 77 tokens; the longest about 100."
    )
