"""What training would see of a version's pictures under a policy of augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visiontune_data.statistics import Statistics
from visiontune_recipes import augmentation_rules
from visiontune_recipes.augmentation import Augmentation, resolve
from visiontune_recipes.facts import DatasetFacts, Sense, SenseCount
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.problem import Problem

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import (
    AugmentationRefused,
    ExampleNotFound,
    NoPictures,
    VisionTrainingDisabled,
)
from visiontune_dataset.ports import Deps, ShownPicture, View
from visiontune_dataset.use_cases import versions

# Among so many rows of the training split those with a picture are looked for.
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class PreviewAugmentation:
    """What was asked. `rows` ascend; empty means the first ones with a picture. `count` is of pictures."""

    augmentation: Augmentation
    rows: Sequence[int]
    count: int
    seed: int
    model_preset: str
    side_px: int


@dataclass(frozen=True, slots=True)
class Preview:
    """The pictures with their rows, and why a job with this policy would be refused."""

    pictures: Sequence[tuple[int, ShownPicture]]
    resolved: Augmentation | None
    warnings: Sequence[Problem]


async def preview_augmentation(command: PreviewAugmentation, version: Version, deps: Deps) -> Preview:
    """Shows the first picture of each row, in as many epochs as `count` allows.

    Raises AugmentationRefused, ExampleNotFound, NoPictures, VisionTrainingDisabled, and what showing raises.
    """
    if version.image_count and not deps.rules.vision_enabled:
        raise VisionTrainingDisabled(version.format)
    if problems := [*augmentation_rules.problems(command.augmentation), *_unknown_preset(command)]:
        raise AugmentationRefused(problems)
    rows = await _rows(command, version, deps)
    images = await _first_images(version, rows, deps)
    resolved = resolve(command.augmentation)
    pictures = []
    for place, row in enumerate(rows):
        view = View(
            augmentation=resolved or Augmentation(),
            seed=command.seed,
            row=row,
            epochs=range(epochs_of(place, len(rows), command.count)),
            model_preset=command.model_preset,
            side_px=command.side_px,
        )
        pictures.append((row, await deps.previewer.show(images[row], view)))
    facts = _facts(await versions.get_statistics(version, deps))
    warnings = list(augmentation_rules.text_problems(resolved, facts)) if resolved else []
    return Preview(pictures, resolved, warnings)


def epochs_of(place: int, rows: int, count: int) -> int:
    """In how many epochs the row at a place is shown, so that there are `count` pictures, and one of each."""
    return max(1, count // rows + (place < count % rows))


def _unknown_preset(command: PreviewAugmentation) -> Sequence[Problem]:
    seeing = sorted(name for name, preset in PRESETS.items() if preset.processor)
    if not command.model_preset or command.model_preset in seeing:
        return []
    message = f'There is no preset "{command.model_preset}" that sees pictures.'
    remedy = f"Use one of: {', '.join(seeing)}; or leave it empty."
    return [Problem("model_preset", "unknown_preset", message, remedy)]


async def _rows(command: PreviewAugmentation, version: Version, deps: Deps) -> Sequence[int]:
    """The rows to show, each of which has a picture."""
    wanted = command.rows or version.rows("train")[:_LOOKED_AT]
    for row in command.rows:
        versions.check_row(version, row)
    shown = await versions.examples_at(version, wanted, deps)
    without = [each.row for each in shown if not each.content["images"]]
    if command.rows and without:
        raise ExampleNotFound(f"{version.name}/examples/{without[0]}", "it has no picture")
    found = [row for row in wanted if row not in without]
    if not found:
        raise NoPictures(version.name)
    return found if command.rows else found[: command.count]


async def _first_images(version: Version, rows: Sequence[int], deps: Deps) -> Mapping[int, bytes]:
    found: list[bytes] = []
    for shard, local in version.located(rows):
        read = await deps.rows.read(shard.examples, local, ["images"])
        found += [each["images"][0]["bytes"] for each in read]
    return dict(zip(rows, found, strict=True))


def _facts(numbers: Statistics) -> DatasetFacts:
    if numbers.text_senses is None:
        return DatasetFacts(frozenset())
    senses = {
        Sense(each.sense): SenseCount(each.example_count, tuple(word for word, _ in each.words))
        for each in numbers.text_senses
    }
    return DatasetFacts(frozenset(), senses=senses)
