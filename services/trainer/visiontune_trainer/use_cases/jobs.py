"""What users ask about jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from visiontune_kit.errors import NotFound
from visiontune_recipes import evaluation_rules, resume_rules
from visiontune_recipes.check import Problem, check, family_of, warnings
from visiontune_recipes.estimate.fitting import Choice, choices, fitted
from visiontune_recipes.estimate.needs import Needs
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.lengths import reach as reach_of
from visiontune_recipes.resolve import resolve, total_steps
from visiontune_recipes.spec import Spec, digest

from visiontune_trainer.domain.folders import FolderState
from visiontune_trainer.domain.job import Job, Progress
from visiontune_trainer.domain.next_step import End
from visiontune_trainer.domain.problems import (
    JobEnded,
    JobExists,
    JobRuns,
    SpecRefused,
    VisionTrainingDisabled,
)
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.domain.states import State
from visiontune_trainer.preview_ports import Shown
from visiontune_trainer.use_cases import estimates, lengths, origins, previews
from visiontune_trainer.use_cases.catalogue import IMAGE_KINDS
from visiontune_trainer.use_cases.deps import RECONCILER, SWEEPER, Deps
from visiontune_trainer.use_cases.lifecycle import doom, end_attempt
from visiontune_trainer.use_cases.lookups import existing_job, locked_job


@dataclass(frozen=True, slots=True)
class CreateJob:
    """A job as asked for."""

    name: str
    project: str
    uid: str  # the same for a repeated request, so that a retry is told from a second job
    display_name: str
    spec: Spec
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec, thought through."""

    problems: tuple[Problem, ...]
    resolved: Spec | None = None  # None when the dataset version is unknown
    total_steps: int = 0
    family: str = ""
    dataset_digest: str = ""
    base_revision: str = ""  # commit of the Hub repository that the job to go on from loaded
    warnings: tuple[Problem, ...] = ()
    needs: Needs | str = ""  # a sentence says why they are unknown
    choices: tuple[Choice, ...] = ()


async def plan(project: str, spec: Spec, deps: Deps, *, looks_at_lengths: bool = True) -> Plan:
    """Resolves and checks a spec; spends nothing. Raises VisionTrainingDisabled.

    looks_at_lengths: whether examples that are too long are looked for where nothing else is wrong.
    """
    origin = await origins.find(project, spec, deps)
    spec, family, problems = origin.spec, origin.family, list(origin.problems)
    try:
        version = await deps.datasets.get_version(spec.dataset_version)
    except NotFound:
        problems += [_unknown_version(spec.dataset_version), *_without_dataset(spec, family)]
        return Plan(problems=tuple(problems), family=family)
    resolved = resolve(spec, version.facts, parameter_count=origin.parameter_count)
    work = await estimates.find_work(resolved.base_model, version.facts, deps)
    filled, why = fitted(
        spec, resolved, None if isinstance(work, str) else work[1], estimates.place(resolved, deps)
    )
    found = family_of(resolved, family)
    name = found.name if found else family
    # A folder's or a repository's is for the worker to say; what adapters go by may be told before.
    read = found or (None if isinstance(work, str) else FAMILIES[work[0]])
    resolved = resolve(filled, version.facts, parameter_count=origin.parameter_count, family=read)
    if not deps.vision_enabled and IMAGE_KINDS & set(found.takes if found else version.facts.kinds):
        raise VisionTrainingDisabled(name)
    problems += check(spec, version.facts, registered_family=family)
    problems += deps.backend.problems_of(resolved.resources)
    steps = total_steps(resolved, version.facts)
    if origin.earlier:
        # It may have been resolved when nobody knew its family.
        earlier = resolve(origin.earlier.resolved, version.facts, family=read)
        problems += resume_rules.problems(resolved, earlier, steps)
    cautions = [*warnings(spec, version.facts), *evaluation_rules.warnings(resolved, version.facts)]
    if looks_at_lengths and not problems and not isinstance(work, str):
        reach = reach_of(work[1].sizes, version.facts, FAMILIES[work[0]], resolved)
        too_long, is_sure = await lengths.check(resolved, reach, deps)
        if too_long is not None:
            (problems if is_sure and not resolved.skips_bad_examples else cautions).append(too_long)
    return Plan(
        problems=tuple(problems),
        resolved=resolved,
        total_steps=steps,
        family=name,
        dataset_digest=version.digest,
        base_revision=origin.earlier.base_revision if origin.earlier else "",
        warnings=tuple(cautions),
        needs=work
        if isinstance(work, str)
        else await estimates.estimate(project, spec, resolved, *work, steps - resolved.first_step, deps),
        choices=tuple(choices(spec, resolved, why, read)),
    )


async def preview_examples(project: str, spec: Spec, rows: Sequence[int], count: int, deps: Deps) -> Shown:
    """Shows a job's examples as its model would get them, rows or the first `count` of the training.

    Raises SpecRefused, VisionTrainingDisabled, and what Previewer raises.
    """
    made = await plan(project, spec, deps, looks_at_lengths=False)
    if made.problems or made.resolved is None:
        raise SpecRefused(made.problems)
    return await previews.show(made.resolved.at(made.base_revision), rows, count, deps)


async def create_job(command: CreateJob, deps: Deps) -> Job:
    """Makes a job in state QUEUED. Raises SpecRefused, JobExists, VisionTrainingDisabled, ModelNotFound."""
    made = await plan(command.project, command.spec, deps)
    if made.problems or made.resolved is None:
        raise SpecRefused(made.problems)
    job, event = Job(
        name=command.name,
        project=command.project,
        uid=command.uid,
        display_name=command.display_name or command.name.rpartition("/")[2],
        spec=command.spec,
        resolved=made.resolved,
        spec_digest=digest(made.resolved),
        dataset_digest=made.dataset_digest,
        family=made.family,
        total_steps=made.total_steps,
        base_revision=made.base_revision,
        traceparent=command.traceparent,
        created_at=deps.clock.now(),
        progress=Progress(total_steps=made.total_steps),
        change=1,
        updated=1,
    ).noted(Reason.QUEUED, "Waits for a place to run.", deps.clock.now())
    async with deps.unit_of_work() as uow:
        existing = await uow.jobs.get(command.name)
        if existing is not None:
            if existing.uid == command.uid:
                return existing
            raise JobExists(command.name)
        await origins.hold(uow, command.spec.base_model)
        await uow.jobs.add(job)
        await uow.records.add_event(event)
        await uow.commit()
    deps.wakeups.notify(job.name, RECONCILER)
    return job


async def get_job(name: str, deps: Deps) -> Job:
    """Raises JobNotFound."""
    async with deps.unit_of_work() as uow:
        return await existing_job(uow, name)


async def list_jobs(
    project: str, dataset: str, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> list[Job]:
    """Returns at most `limit` jobs, newest first, after the position (created_at, name).

    `dataset` is the version, or the dataset, on which they train; empty: any.
    """
    async with deps.unit_of_work() as uow:
        return await uow.jobs.page(project, dataset, after, limit)


async def cancel_job(name: str, deps: Deps) -> Job:
    """Asks a job to stop; one without a worker stops at once. Raises JobEnded, JobNotFound."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job = await locked_job(uow, name)
        if job.state is State.CANCELLED or job.cancel_requested_at is not None:
            return job
        if job.ended:
            raise JobEnded(name, job.state, "cancel")
        job, event = job.updated_with(cancel_requested_at=now).noted(
            Reason.CANCEL_REQUESTED, "A user asked to stop.", now
        )
        await uow.records.add_event(event)
        if job.has_worker:
            await uow.jobs.save(job)
        else:
            step = End(State.CANCELLED, Reason.CANCELLED, "Stopped before a worker started.")
            job = await end_attempt(uow, job, None, step, now)
        await uow.commit()
    deps.wakeups.notify(name, RECONCILER)
    return job


async def delete_job(name: str, deps: Deps) -> None:
    """Deletes an ended job; its objects follow, but for those that a model needs. Raises JobRuns."""
    async with deps.unit_of_work() as uow:
        job = await locked_job(uow, name)
        if not job.ended:
            raise JobRuns(name, job.state)
        for folder in await uow.folders.of(name, *FolderState):
            if await uow.models.made_of(folder.owner):
                await uow.folders.delete(folder)
            else:
                await doom(uow, [folder])
        await uow.jobs.delete(name)
        await uow.commit()
    deps.wakeups.notify(name, SWEEPER)


def _without_dataset(spec: Spec, family: str) -> list[Problem]:
    facts = DatasetFacts(kinds=frozenset(), split_counts={"train": 1, "validation": 1}, senses={})
    return check(spec, facts, registered_family=family)


def _unknown_version(name: str) -> Problem:
    return Problem(
        "dataset_version",
        "unknown_dataset_version",
        f"{name} was not found in this project.",
        "Import the data first, or name one of the versions that ListVersions shows.",
    )
