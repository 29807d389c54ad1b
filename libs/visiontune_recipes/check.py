"""Everything that is wrong with a job, as values: one function a rule, all of them run, nothing raised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from visiontune_recipes import adaptation_rules, augmentation_rules, evaluation_rules
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.objectives import CAUSAL_LM, batchings, objective_of
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.problem import Problem
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Objective, Optimiser, Spec


@dataclass(frozen=True, slots=True)
class _Job:
    asked: Spec
    spec: Spec  # resolved
    facts: DatasetFacts
    family: Family | None


def family_of(
    spec: Spec, registered_family: str = "", families: Mapping[str, Family] = FAMILIES
) -> Family | None:
    """The family of a spec's base model; None when only the worker can tell (hub, path) or it is unknown.

    registered_family: family of the registered model that `base_model.model` names.
    """
    preset = PRESETS.get(spec.base_model.preset or "")
    return families.get(preset.family if preset else registered_family)


def check(
    spec: Spec,
    facts: DatasetFacts,
    *,
    registered_family: str = "",
    families: Mapping[str, Family] = FAMILIES,
) -> list[Problem]:
    """All problems of a spec, as asked or resolved; empty when the job can run.

    registered_family: family of the registered model that `base_model.model` names, empty for other sources.
    """
    job = _Job(spec, resolve(spec, facts), facts, family_of(spec, registered_family, families))
    problems = [problem for rule in RULES for problem in rule(job)]
    if registered_family and registered_family not in families:
        problems.insert(0, _unknown_family(registered_family, families))
    return problems


def warnings(spec: Spec, facts: DatasetFacts) -> list[Problem]:
    """What does not keep a job from running, and is hardly meant."""
    return list(augmentation_rules.warnings(spec.augmentation, facts))


def _unknown_family(name: str, families: Mapping[str, Family]) -> Problem:
    return Problem(
        "base_model",
        "unknown_family",
        f'The model is of the family "{name}", which this installation cannot train.',
        f"Choose a model of one of these families: {', '.join(sorted(families))}.",
    )


def _unknown_preset(job: _Job) -> Iterator[Problem]:
    preset = job.spec.base_model.preset
    if preset is not None and preset not in PRESETS:
        yield Problem(
            "base_model.preset",
            "unknown_preset",
            f'There is no preset "{preset}".',
            f"Use one of: {', '.join(sorted(PRESETS))}.",
        )


def _kind_not_taken(job: _Job) -> Iterator[Problem]:
    if job.family is None:
        return
    refused = sorted(kind for kind in job.facts.kinds if kind not in job.family.takes)
    if refused:
        yield Problem(
            "dataset_version",
            "kind_not_taken",
            f'The family "{job.family.name}" cannot train on examples of kind {", ".join(refused)}.',
            f"Use a dataset of kind {' or '.join(job.family.takes)}, or a model of "
            f"{_families_for(job.facts.kinds)}.",
        )


def _families_for(kinds: frozenset[Kind]) -> str:
    """Those that take all of these kinds, in words."""
    names = [each.name for each in FAMILIES.values() if kinds <= {*each.takes}]
    return f"one of the families {', '.join(names)}" if names else "another family"


def _conversations_too_long(job: _Job) -> Iterator[Problem]:
    family = job.family
    if family is None or not family.most_messages or job.facts.most_messages <= family.most_messages:
        return
    longer = [
        each.name for each in FAMILIES.values() if job.facts.kinds <= {*each.takes} and not each.most_messages
    ]
    yield Problem(
        "dataset_version",
        "conversations_too_long",
        f'The family "{family.name}" takes one question with one answer, without a system message; the '
        f"dataset version has a conversation of {job.facts.most_messages} messages.",
        f"Use a model of another family ({', '.join(longer)}), or a version of single questions.",
    )


def _objective_not_offered(job: _Job) -> Iterator[Problem]:
    if job.spec.objective is not None and job.family and job.family.objective != "causal_lm":
        yield Problem(
            "objective",
            "objective_not_offered",
            f'Models of the family "{job.family.name}" do not answer in text, so they have one objective.',
            "Leave the objective out, or use a model that answers in text.",
        )


def _no_pairs(job: _Job) -> Iterator[Problem]:
    others = sorted(job.facts.kinds - {Kind.PREFERENCE})
    if job.spec.objective is Objective.PREFERENCE and others:
        yield Problem(
            "dataset_version",
            "no_pairs",
            f"Preferences are learnt from pairs of answers; the version has {', '.join(others)}, too.",
            "Use a version of kind PREFERENCE alone, or OBJECTIVE_CAUSAL_LM.",
        )


def _preference_without_objective(job: _Job) -> Iterator[Problem]:
    if job.spec.preference is not None and job.spec.objective is not Objective.PREFERENCE:
        yield Problem(
            "preference",
            "preference_without_objective",
            "Settings of preferences have no meaning when the training minimises something else.",
            "Remove preference, or set objective to OBJECTIVE_PREFERENCE.",
        )


def _no_train_split(job: _Job) -> Iterator[Problem]:
    if job.facts.train_count == 0:
        yield Problem(
            "dataset_version",
            "no_train_split",
            "The dataset version has no examples in the split `train`.",
            "Import a version with training examples.",
        )


def _no_validation_split(job: _Job) -> Iterator[Problem]:
    if job.facts.validation_count == 0:
        yield Problem(
            "dataset_version",
            "no_validation_split",
            "The dataset version has no examples in the split `validation` to measure with.",
            "Import it again with a validation share above 0, or name the split in the records.",
        )


def _losses_not_offered(job: _Job) -> Iterator[Problem]:
    offered = job.family.losses if job.family else ()
    unknown = set(job.spec.hyperparameters.losses or ()).difference(offered)
    if job.family is not None and unknown:
        yield Problem(
            "hyperparameters.losses",
            "losses_not_offered",
            f'The family "{job.family.name}" does not offer {", ".join(sorted(unknown))}.',
            f"Use some of: {', '.join(offered)}."
            if offered
            else "Remove it: the family has no choice of losses.",
        )


def _adaptation(job: _Job) -> Iterator[Problem]:
    yield from adaptation_rules.problems(job.spec, job.family)


def _evaluation(job: _Job) -> Iterator[Problem]:
    yield from evaluation_rules.problems(job.spec, job.family)


def _batching_not_offered(job: _Job) -> Iterator[Problem]:
    if job.family is None:
        return
    offered = batchings(job.spec, job.family)
    if job.spec.batching not in offered:
        yield Problem(
            "loading.batching",
            "batching_not_offered",
            f'This training of the family "{job.family.name}" does not offer {job.spec.batching}.',
            f"Use {offered[-1]}.",
        )


def _sharding_alone(job: _Job) -> Iterator[Problem]:
    resources = job.spec.resources
    if resources.is_sharded and resources.accelerator_count * resources.node_count < 2:
        yield Problem(
            "resources.sharding",
            "sharding_alone",
            "Weights can be divided among several accelerators only.",
            "Ask for more of them by resources.accelerator_count or nodes, or leave sharding unset.",
        )


def _sharding_not_offered(job: _Job) -> Iterator[Problem]:
    spec, family = job.spec, job.family
    if not spec.resources.is_sharded:
        return
    compares = family is not None and objective_of(spec, family) is not CAUSAL_LM
    optimiser = spec.hyperparameters.optimiser
    if compares or spec.adaptation.quantisation or optimiser not in {None, Optimiser.ADAMW}:
        yield Problem(
            "resources.sharding",
            "sharding_not_offered",
            "This objective, quantised weights and this optimiser need the whole weights in each process.",
            "Learn answers with OPTIMISER_ADAMW and without quantisation, or leave resources.sharding unset.",
        )


def _bad_augmentation(job: _Job) -> Iterator[Problem]:
    if job.asked.augmentation is not None:
        yield from augmentation_rules.problems(job.asked.augmentation)


def _text_breaking(job: _Job) -> Iterator[Problem]:
    if job.spec.augmentation is not None:
        yield from augmentation_rules.text_problems(job.spec.augmentation, job.facts)


RULES: tuple[Callable[[_Job], Iterator[Problem]], ...] = (
    _unknown_preset,
    _kind_not_taken,
    _conversations_too_long,
    _objective_not_offered,
    _no_pairs,
    _preference_without_objective,
    _no_train_split,
    _no_validation_split,
    _losses_not_offered,
    _adaptation,
    _evaluation,
    _batching_not_offered,
    _sharding_alone,
    _sharding_not_offered,
    _bad_augmentation,
    _text_breaking,
)

__all__ = ["RULES", "Problem", "check", "family_of", "warnings"]
