"""The examples of an import and those of its base, decided together before anything is written."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from visiontune_data.carrying import Carrier, Gathered
from visiontune_data.columns import columns_for
from visiontune_data.gathering import Assembly
from visiontune_data.joining import Base
from visiontune_data.report import Place, Problem, Report
from visiontune_data.shards import Shard


@dataclass(frozen=True, slots=True)
class Joint:
    """What will be written: what `carrier` takes over, then the new examples but for `kept`."""

    base: Base
    carrier: Carrier
    gathered: Gathered  # over all, in that order
    splits: list[str]  # of the new examples
    kept: Collection[str]  # ids of new examples that are in the base already


def join(
    assembly: Assembly, base: Base, scratch: Path, finished: Callable[[Shard], None], report: Report,
    validation_fraction: float, most_images: int,
) -> Joint:  # fmt: skip
    """Decides splits, and what goes; reports what only shows over the examples of both."""
    joining = assembly.joining
    splits = assembly.splitter.decide_beside(validation_fraction)
    kept = joining.keep(assembly.examples(splits))
    carrier = Carrier(base.shards, dict.fromkeys(joining.replaced), scratch, finished)
    gathered, staying = Gathered(), set[str]()
    for *_, after in carrier.rows():
        if after is not None:
            gathered.add(after)
            if after.id not in kept:  # those come with the same images once more
                staying.update(image.sha256 for image in after.all_images)
    for example in assembly.examples(splits):
        if example.id not in kept:
            gathered.add(example)
    assembly.twins = assembly.twins.beside(frozenset(joining.pictures.values()), staying)
    assembly.check_leaks({sha: found for sha, (_, found) in gathered.splits_of_image.items()}, report)
    _check(gathered, columns_for(assembly.kinds), carrier.columns, base.name, most_images, report)
    report.example_count = gathered.statistics.example_count
    return Joint(base, carrier, gathered, splits, kept)


def _check(
    gathered: Gathered, columns: Sequence[str], there: Sequence[str], base: str, most_images: int,
    report: Report,
) -> None:  # fmt: skip
    if strange := [column for column in columns if column not in there]:
        found = f"the records have {' and '.join(strange)}, the examples of {base} none"
        report.add(Problem("base-other-kind", Place(), found))
    if (images := len(gathered.splits_of_image)) > most_images:
        found = f"with those of {base} there are {images:,} images; at most {most_images:,} are accepted"
        report.add(Problem("limit-images", Place(), found))
