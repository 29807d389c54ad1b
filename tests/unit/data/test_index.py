"""The index finds what filters and searches ask for, over shards as over one."""

import itertools
import json

import pytest
from visiontune_data.example import IMAGE, Example, Image, Message, Part, canonical
from visiontune_data.filters import parse
from visiontune_data.index import Order, VersionIndex, shard_index
from visiontune_data.previews import example_of
from visiontune_data.shards import messages_of, preview_json


def image(number: int, width: int = 64, kind: str = "JPEG", brightness: int = 100) -> Image:
    return Image(f"{number}.jpg", f"{number:064x}", width, 48, kind, 0, 1000 + number, brightness)


def example(
    id_: str,
    *images: Image,
    answer: str = "Yes.",
    split: str = "train",
    metadata: object = None,
    problems: tuple[str, ...] = (),
) -> Example:
    asked = Message("user", (*(IMAGE,) * len(images), Part("What is it?")))
    return Example(
        id_,
        images,
        (asked, Message("assistant", (Part(answer),))),
        (),
        split,
        canonical(metadata).decode() if metadata else "",
        problems=problems,
    )


EXAMPLES = [
    example("a", image(1), answer="A CAT."),
    example("b", image(2, width=512, kind="PNG", brightness=7), image(3), split="validation"),
    example("c", metadata={"tags": ["night", "rain", 3], "tag": "x"}, answer="Ünder"),
    example("d", image(3), image(3), problems=("image-small", "special-token")),
    example("e", image(4), image(4), metadata={"tags": "night"}),
    Example("f", (image(5),), (), ("A dog.", "A hound."), "test", ""),
]
CASES = {
    "": "abcdef",
    "split = train": "acde",
    "split != train": "bf",
    "id = c": "c",
    "NOT id = c": "abdef",
    "tags:night": "c",
    "has:tags": "c",
    "has:images": "abdef",
    "has:problems": "d",
    "problem = image-small": "d",
    "problem != image-small": "abcef",
    "images = 0": "c",
    "images >= 2": "bde",
    "width > 100": "b",
    "height = 48": "abdef",
    "brightness < 10": "b",
    "size_bytes >= 1004": "ef",
    "format = PNG": "b",
    "format != PNG": "acdef",
    "duplicate = true": "bd",
    "duplicate = false": "acef",
    'answer = "A CAT."': "a",
    "answer:hound": "f",
    'answer = "A dog."': "f",
    'answer != "Yes."': "acf",
    "text:ünder": "c",
    'text:"a cat"': "a",
    "split = train AND (format = PNG OR duplicate = true)": "d",
}


def index(*cuts: int) -> VersionIndex:
    bounds = [0, *cuts, len(EXAMPLES)]
    rows = [preview_json(each, messages_of(each)) for each in EXAMPLES]
    return VersionIndex(tuple(shard_index(rows[a:b]) for a, b in itertools.pairwise(bounds)))


@pytest.mark.parametrize("cuts", [(), (3,), (1, 2, 4)])
@pytest.mark.parametrize(("text", "ids"), CASES.items())
def test_a_filter_finds(text: str, ids: str, cuts: tuple[int, ...]) -> None:
    rows = index(*cuts).select(parse(text))
    assert "".join(EXAMPLES[row].id for row in rows) == ids


def test_a_search_is_for_text_in_any_case_and_among_what_the_filter_leaves() -> None:
    found = index(2)
    assert found.select(parse(""), "what is IT") == [0, 1, 2, 3, 4]
    assert found.select(parse("split = test"), "dog") == [5]
    assert found.select(parse("split = train"), "dog") == []
    assert found.select(parse(""), "ÜNDER.") == []
    assert found.select(parse(""), ".*") == []


@pytest.mark.parametrize("cuts", [(), (1, 2, 4)])
@pytest.mark.parametrize(("order", "ids"), [(Order.TEXT_BYTES, "acbdef"), (Order.IMAGE_PIXELS, "bdeafc")])
def test_rows_with_most_come_first_and_equals_as_they_lie(
    order: Order, ids: str, cuts: tuple[int, ...]
) -> None:
    found = index(*cuts)
    assert "".join(EXAMPLES[row].id for row in found.ordered(range(6), order)) == ids
    assert found.ordered([2, 5], order) == [row for row in found.ordered(range(6), order) if row in {2, 5}]
    assert found.ordered([], order) == []


def test_rows_are_found_by_id_and_read_back() -> None:
    found = index(1, 5)
    assert len(found) == 6
    assert [found.row_of(each.id) for each in EXAMPLES] == list(range(6))
    assert found.row_of("z") is None
    assert example_of(found.preview(3)) == EXAMPLES[3]
    assert sum(shard.size_bytes for shard in found.shards) > 1000
    with pytest.raises(IndexError):
        found.preview(6)


def test_previews_of_an_older_import_say_nothing_of_problems_and_brightness() -> None:
    content = json.loads(preview_json(EXAMPLES[1], messages_of(EXAMPLES[1])))
    del content["problems"]
    content["images"] = [each[:6] for each in content["images"]]
    old = example_of(json.dumps(content))
    assert old.problems == ()
    assert [each.brightness for each in old.images] == [0, 0]


def test_no_shards_no_rows() -> None:
    assert VersionIndex(()).select(parse("split = train")) == []
