"""What is wrong with a policy of augmentation: by itself, and on a dataset."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from visiontune_recipes.augmentation import Augmentation, Transform, breaking, resolve
from visiontune_recipes.facts import DatasetFacts, Sense, SenseCount
from visiontune_recipes.problem import Problem
from visiontune_recipes.transforms import TRANSFORMS
from visiontune_recipes.transforms import Transform as Row

FIELD = "augmentation"
_MOST_WORDS = 5
_SAYS: Mapping[Sense, str] = {
    Sense.HORIZONTAL: "say where something is from left to right",
    Sense.VERTICAL: "say where something is from top to bottom",
    Sense.TURNING: "say how something is turned or mirrored",
    Sense.READING: "are about reading",
    Sense.COLOUR: "name colours",
}


def problems(asked: Augmentation) -> Iterator[Problem]:
    """What is wrong with a policy as asked, whatever it is applied to."""
    if asked.preset is not None and asked.transforms:
        yield Problem(
            f"{FIELD}.preset",
            "preset_with_transforms",
            "A policy is either a preset or a list of transforms.",
            "Remove one of the two; docs/augmentation.md lists what is in each preset.",
        )
    for index, each in enumerate(asked.transforms):
        field = f"{FIELD}.transforms[{index}]"
        row = TRANSFORMS.get(each.name)
        if row is None:
            yield Problem(
                f"{field}.name",
                "unknown_transform",
                f'There is no transform "{each.name}"{_meant(each.name, TRANSFORMS)}.',
                f"Use one of: {', '.join(TRANSFORMS)}.",
            )
        else:
            yield from _parameter_problems(field, each, row)


def text_problems(resolved: Augmentation, facts: DatasetFacts) -> Iterator[Problem]:
    """What a resolved policy would make untrue in the texts of a dataset, unless that is allowed."""
    found = breaking(resolved.transforms)
    if resolved.allow_text_breaking or not found or not facts.has_images:
        return
    names = ", ".join(found)
    if facts.senses is None:
        yield Problem(
            f"{FIELD}.transforms",
            "texts_unknown",
            f"With {names} a text may no longer be true of its picture, and nobody looked at the texts of "
            "this version: it was imported by an older release.",
            "Import the data again, or set augmentation.allow_text_breaking.",
        )
        return
    broken = frozenset[Sense]().union(*found.values())
    told = [_told(sense, facts.senses[sense]) for sense in Sense if sense in broken & facts.senses.keys()]
    if told:
        yield Problem(
            f"{FIELD}.transforms",
            "text_breaking",
            f"With {names} a text may no longer be true of its picture: {'; '.join(told)}.",
            "Use a preset or milder parameters (docs/augmentation.md has the bounds), or set "
            "augmentation.allow_text_breaking if the texts stay true.",
        )


def warnings(asked: Augmentation | None, facts: DatasetFacts) -> Iterator[Problem]:
    """What is hardly meant, and does no harm."""
    if resolve(asked) is not None and not facts.has_images:
        yield Problem(
            FIELD,
            "nothing_to_augment",
            "The dataset version has no pictures, so the augmentation changes nothing.",
            "Remove it.",
        )


def _parameter_problems(field: str, asked: Transform, row: Row) -> Iterator[Problem]:
    for name, value in asked.parameters.items():
        parameter = row.parameters.get(name)
        if parameter is None:
            yield Problem(
                f"{field}.parameters.{name}",
                "unknown_parameter",
                f'{asked.name} has no parameter "{name}"{_meant(name, row.parameters)}.',
                f"It takes: {', '.join(row.parameters)}.",
            )
        elif not parameter.takes(value):
            yield Problem(
                f"{field}.parameters.{name}",
                "parameter_out_of_bounds",
                f"{value:g} is no {name} of {asked.name}: {parameter.description}.",
                f"Give {parameter.allowed}.",
            )
    values = {name: each.default for name, each in row.parameters.items()} | dict(asked.parameters)
    for name in row.parameters:
        stem = name.removesuffix("_min")
        if stem != name and values[name] > values[f"{stem}_max"]:
            yield Problem(
                f"{field}.parameters.{name}",
                "parameters_crossed",
                f"{name} ({values[name]:g}) is above {stem}_max ({values[f'{stem}_max']:g}).",
                f"Give both so that {name} is not the larger one.",
            )


def _meant(name: str, known: Iterable[str]) -> str:
    lower = {each.lower(): each for each in known}
    nearest = get_close_matches(name.lower(), lower, n=1)
    return f"; {lower[nearest[0]]} is near" if nearest else ""


def _told(sense: Sense, count: SenseCount) -> str:
    words = ", ".join(f'"{word}"' for word in count.words[:_MOST_WORDS])
    return f"{count.example_count:,} examples {_SAYS[sense]} ({words})"
