"""What does not fit into a model is told from what does, surely by bounds and else by estimate."""

import pytest
from visiontune_recipes import lengths
from visiontune_recipes.estimate.counting import sizes_of_preset
from visiontune_recipes.facts import DatasetFacts, Kind, Lengths, Span
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.lengths import Measured, Reach
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.spec import Spec

VERSION = "projects/p/datasets/d/versions/v1"


def spec(max_length: int = 512, skip: bool = False, preset: str = "tiny-llava") -> Spec:
    loading = {"loading": {"on_bad_example": "ON_BAD_EXAMPLE_SKIP"}} if skip else {}
    return Spec.model_validate(
        {
            "dataset_version": VERSION,
            "base_model": {"preset": preset},
            "hyperparameters": {"max_length": max_length},
            **loading,
        }
    )


def most(value: float) -> Span:
    return Span(mean=0, median=0, p95=0, max=value)


def facts(text_tokens: int, images: int = 1, kind: Kind = Kind.CHAT_WITH_IMAGES) -> DatasetFacts:
    found = Lengths(most(text_tokens), most(images), most(640), most(480))
    return DatasetFacts(frozenset({kind}), {"train": 1}, most_messages=3, lengths=found)


def reach(preset: str, given: DatasetFacts, max_length: int = 512) -> Reach:
    sizes = sizes_of_preset(PRESETS[preset])
    assert sizes is not None
    family = FAMILIES[PRESETS[preset].family]
    found = lengths.reach(sizes, given, family, spec(max_length, preset=preset))
    assert found is not None
    return found


def example(row: int, tokens: int, images: int = 0, answers: int = 0) -> Measured:
    return Measured(f"{VERSION}/examples/{row}", f"e-{row}", tokens, images, answers)


def test_no_tokenizer_makes_more_tokens_than_there_are_bytes() -> None:
    found = reach("tiny-llava", facts(10, images=2))
    assert found == Reach(surely=4 * 10 + 3 * 16 + 64 + 2 * 16, about=10 + 2 * 16, longest=512)
    assert reach("tiny-text", facts(10, images=0)).about == 10


def test_of_pictures_that_keep_their_size_the_largest_counts() -> None:
    found = reach("tiny-qwen2-vl", facts(0))
    assert found.about == 130  # of at most 96 x 96 pixels, 8 x 8 of them a token
    assert found.surely is not None
    assert 144 + 3 * 16 + 64 <= found.surely < 200 + 3 * 16 + 64


def test_tiles_and_videos_are_only_estimated() -> None:
    assert reach("tiny-llava-next", facts(10)).surely is None
    assert reach("tiny-qwen2-vl", facts(10, kind=Kind.CHAT_WITH_VIDEO)).surely is None


def test_what_is_compared_is_read_by_itself() -> None:
    clip = reach("tiny-clip", facts(10, kind=Kind.CAPTIONED_IMAGE))
    assert clip == Reach(surely=4 * 10 + 16, about=10, longest=64)
    assert reach("tiny-clip", facts(10, kind=Kind.CAPTIONED_IMAGE), max_length=32).longest == 32
    assert reach("tiny-siglip", facts(10, kind=Kind.CAPTIONED_IMAGE), max_length=32).longest == 64
    query = reach("tiny-colqwen2", facts(200, kind=Kind.RETRIEVAL))
    assert (query.surely, query.about, query.longest) == (4 * 200 + 16, 200, 512)


def test_a_version_without_statistics_says_nothing() -> None:
    sizes = sizes_of_preset(PRESETS["tiny-llava"])
    assert sizes is not None
    bare = DatasetFacts(frozenset({Kind.CHAT}), {"train": 1})
    assert lengths.reach(sizes, bare, FAMILIES["llava"], spec()) is None


def test_the_longest_is_named_with_what_would_be_lost_and_what_to_set() -> None:
    given = [example(3, 512), example(7, 580, images=64, answers=2), example(8, 513)]
    problem = lengths.measured(given, 512, spec())
    assert problem is not None
    assert (problem.field, problem.rule) == ("hyperparameters.max_length", lengths.RULE)
    assert problem.message == (
        "Example 'e-7' (row 7) has 580 tokens, images included, and 512 are read; among the 68 past that are "
        "64 of images and 2 of an answer. Nothing is cut: the job would end with it."
    )
    assert problem.remedy.startswith("Set it to 580 or more; or shorten such examples")
    assert "ON_BAD_EXAMPLE_SKIP" in problem.remedy


@pytest.mark.parametrize("given", [[], [example(1, 512)]])
def test_what_fits_is_no_problem(given: list[Measured]) -> None:
    assert lengths.measured(given, 512, spec()) is None


def test_a_models_own_limit_is_not_raised_and_what_is_left_out_is_said() -> None:
    problem = lengths.measured([example(1, 90)], 77, spec(2048, skip=True))
    assert problem is not None
    assert problem.message.endswith("77 are read. Nothing is cut: longer ones are left out.")
    assert problem.remedy == ("The model reads no more: shorten such examples, use fewer or smaller images.")


def test_an_estimate_says_that_it_is_one() -> None:
    assert lengths.estimated(Reach(900, 512, 512), spec()) is None
    problem = lengths.estimated(Reach(None, 1200, 512), spec())
    assert problem is not None
    assert "about 1,200 tokens" in problem.message
    assert "That is estimated" in problem.message
    assert problem.remedy.startswith("Set it to 1200 or more")
