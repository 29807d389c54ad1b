"""docs/augmentation.md says of presets, transforms, bounds and words what the tables hold; -m prints them."""

from collections.abc import Iterator
from pathlib import Path

from visiontune_data import senses
from visiontune_recipes.augmentation import PRESETS, resolve
from visiontune_recipes.augmentation import Augmentation as Policy
from visiontune_recipes.facts import Sense
from visiontune_recipes.transforms import PROBABILITY, TRANSFORMS, Breaks, Parameter
from visiontune_recipes.transforms import Transform as Row

PAGE = Path(__file__).parents[2] / "docs" / "augmentation.md"
NAMES = {
    Sense.HORIZONTAL: "left and right",
    Sense.VERTICAL: "up and down",
    Sense.TURNING: "turning",
    Sense.READING: "reading",
    Sense.COLOUR: "colour",
}


def transforms() -> Iterator[str]:
    """The rows of the table of transforms."""
    for row in TRANSFORMS.values():
        own = [_parameter(each) for each in row.parameters.values() if each.name != PROBABILITY]
        share = row.parameters[PROBABILITY].default
        yield f"| `{row.name}` | {row.description} | {'<br>'.join(own) or '–'} | {share:g} | {_breaks(row)} |"


def _parameter(each: Parameter) -> str:
    whole = ", whole" if each.whole else ""
    return f"`{each.name}` {each.lowest:g}–{each.highest:g}{whole}, **{each.default:g}**: {each.description}"


def _breaks(row: Row) -> str:
    return "<br>".join(map(_broken, row.breaks)) or "–"


def _broken(each: Breaks) -> str:
    names = ", ".join(NAMES[sense] for sense in Sense if sense in each.senses)
    return (
        f"{names}, unless `{each.parameter}` is {each.lowest:g}–{each.highest:g}" if each.parameter else names
    )


def presets() -> Iterator[str]:
    """The rows of the table of presets."""
    for preset in PRESETS:
        name = preset.removeprefix("PRESET_").lower()
        resolved = resolve(Policy(preset=preset))
        steps = [
            f"`{each.name}` {', '.join(f'{name} {value:g}' for name, value in each.parameters.items())}"
            for each in (resolved.transforms if resolved else ())
        ]
        yield f"| `{name}` | {'<br>'.join(steps) or 'nothing'} |"


def words() -> Iterator[str]:
    """The rows of the table of words."""
    for sense, found in senses.WORDS.items():
        yield f"| {NAMES[Sense(sense)]} | {', '.join(found.split())} |"


def test_the_two_lists_of_senses_are_one() -> None:
    assert [each.value for each in Sense] == [each.value for each in senses.Sense]


def test_the_page_has_the_rows_of_every_table_and_no_others() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    headings = {"| preset |", "| transform |", "| sense |"}
    told = [row for row in rows if not any(row.startswith(each) for each in headings)]
    assert told == [*presets(), *transforms(), *words()]


if __name__ == "__main__":
    print("\n".join([*presets(), "", *transforms(), "", *words()]))
