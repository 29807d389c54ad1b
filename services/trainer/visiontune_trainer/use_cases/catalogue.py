"""What this installation can train, and which of it the operator has switched off."""

from visiontune_recipes.facts import Kind
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import PRESETS, Preset

from visiontune_trainer.domain.models import ModelFilter
from visiontune_trainer.domain.problems import VisionTrainingDisabled
from visiontune_trainer.use_cases.deps import Deps

IMAGE_KINDS = frozenset(Kind) - {Kind.CHAT}


def families(deps: Deps) -> list[tuple[Family, str]]:
    """Returns the families by name, each with why it cannot be trained here; that is empty where it can."""
    found = [FAMILIES[name] for name in sorted(FAMILIES)]
    return [(each, "" if _is_on(each, deps) else VisionTrainingDisabled(each.name).message) for each in found]


def presets_after(name: str, wanted: ModelFilter, deps: Deps) -> list[Preset]:
    """Returns the presets by name, after that name; they came of no data and of no base."""
    if wanted.dataset or wanted.base:
        return []
    found = (PRESETS[each] for each in sorted(PRESETS) if each > name)
    return [
        each for each in found if wanted.family in {"", each.family} and _is_on(FAMILIES[each.family], deps)
    ]


def _is_on(family: Family, deps: Deps) -> bool:
    return deps.vision_enabled or not IMAGE_KINDS & set(family.takes)
