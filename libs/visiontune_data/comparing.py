"""What differs between two versions, by example id."""

from dataclasses import dataclass

from visiontune_data.edits import changes_between
from visiontune_data.index import VersionIndex
from visiontune_data.previews import example_of


@dataclass(frozen=True, slots=True)
class Change:
    """One example's: its rows, None where it is not, and in both the fields that differ."""

    example: str
    before: int | None
    after: int | None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All changes: first what changed or went, in the base's order, then what came."""

    changes: tuple[Change, ...]

    @property
    def added_count(self) -> int:
        """Examples that came."""
        return sum(change.before is None for change in self.changes)

    @property
    def removed_count(self) -> int:
        """Examples that went."""
        return sum(change.after is None for change in self.changes)

    @property
    def changed_count(self) -> int:
        """Examples that are others."""
        return len(self.changes) - self.added_count - self.removed_count


def compare(base: VersionIndex, newer: VersionIndex) -> Comparison:
    """Compares example by example; what is the same to the letter is not read."""
    changes = []
    for before, id_ in enumerate(base.ids()):
        after = newer.row_of(id_)
        if after is None:
            changes.append(Change(id_, before, None))
        elif (old := base.preview(before)) != (new := newer.preview(after)) and (
            fields := changes_between(example_of(old), example_of(new))
        ):
            changes.append(Change(id_, before, after, fields))
    came = (Change(id_, None, after) for after, id_ in enumerate(newer.ids()) if base.row_of(id_) is None)
    return Comparison((*changes, *came))
