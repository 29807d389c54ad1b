"""What a job starts from: a base model, and perhaps the checkpoint of an earlier job."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from visiontune_recipes.check import Problem
from visiontune_recipes.spec import Base, Method, ResumeFrom, Spec

from visiontune_trainer.domain.folders import Folder, FolderState, newest_first
from visiontune_trainer.domain.job import Job, project_of
from visiontune_trainer.domain.models import Model
from visiontune_trainer.domain.problems import ModelNotFound
from visiontune_trainer.ports import UnitOfWork
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.lifecycle import KEEPS_CHECKPOINTS


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a spec starts from, as far as the trainer knows it."""

    spec: Spec  # the spec, with what it resumes from filled in
    problems: tuple[Problem, ...] = ()
    family: str = ""  # of a registered model; empty for other bases
    parameter_count: int = 0
    earlier: Job | None = None  # the job that it goes on from


async def find(project: str, spec: Spec, deps: Deps) -> Origin:
    """Looks up what a spec names."""
    base = spec.base_model
    async with deps.unit_of_work() as uow:
        model = await _model(uow, base, project)
        earlier, checkpoint = await _checkpoint(uow, spec.resume_from, project)
    problems = [
        *_base_problems(spec, model, deps.model_roots),
        *_resume_problems(spec.resume_from, earlier, checkpoint),
    ]
    if spec.resume_from and earlier and checkpoint:
        is_same_data = spec.dataset_version == earlier.resolved.dataset_version
        start = earlier.resolved.data_start_step if is_same_data else checkpoint.step
        resumed = ResumeFrom(checkpoint=checkpoint.name, step=checkpoint.step, data_start_step=start)
        spec = spec.model_copy(update={"resume_from": resumed})
    return Origin(
        spec,
        tuple(problems),
        model.family if model else "",
        model.parameter_count if model else 0,
        earlier if not problems else None,
    )


async def hold(uow: UnitOfWork, base: Base) -> None:
    """Keeps a registered model from being deleted until the transaction ends. Raises ModelNotFound."""
    if base.model is not None and await uow.models.lock(base.model) is None:
        raise ModelNotFound(base.model)


async def checkpoint_of(uow: UnitOfWork, name: str) -> Folder | None:
    """Returns the complete checkpoint of that name, or the newest of the job of that name, or None."""
    job = name.partition("/checkpoints/")[0]
    committed = await uow.folders.of(job, FolderState.COMMITTED)
    found = newest_first(folder for folder in committed if folder.is_checkpoint)
    return next((folder for folder in found if name in {job, folder.name}), None)


async def _model(uow: UnitOfWork, base: Base, project: str) -> Model | None:
    if base.model is None or project_of(base.model) != project:
        return None
    return await uow.models.get(base.model)


async def _checkpoint(
    uow: UnitOfWork, asked: ResumeFrom | None, project: str
) -> tuple[Job | None, Folder | None]:
    if asked is None or project_of(asked.checkpoint) != project:
        return None, None
    job = await uow.jobs.get(asked.checkpoint.partition("/checkpoints/")[0])
    return job, await checkpoint_of(uow, asked.checkpoint) if job else None


def _base_problems(
    spec: Spec, model: Model | None, model_roots: tuple[PurePosixPath, ...]
) -> Iterator[Problem]:
    base = spec.base_model
    if base.path is not None and not _is_allowed(base.path, model_roots):
        yield _path_not_allowed(base.path, model_roots)
    if base.model is None:
        return
    if model is None:
        yield Problem(
            "base_model.model",
            "unknown_model",
            f"{base.model} was not found in this project.",
            "Register the result of a job, or name one of the models that ListModels shows.",
        )
    elif spec.adaptation.continue_adapter and not model.is_adapter:
        yield Problem(
            "adaptation.continue_adapter",
            "not_an_adapter",
            f"{base.model} is a whole model, so there is no adapter to train further.",
            "Leave continue_adapter out: a new adapter is then trained on that model.",
        )
    elif spec.adaptation.method is Method.QLORA and model.is_adapter and not spec.adaptation.continue_adapter:
        yield Problem(
            "adaptation.method",
            "merged_into_few_bits",
            f"{base.model} is an adapter, which cannot be merged into weights of few bits without a loss.",
            "Set adaptation.continue_adapter to train that adapter further, or use METHOD_LORA.",
        )


def _resume_problems(
    asked: ResumeFrom | None, earlier: Job | None, checkpoint: Folder | None
) -> Iterator[Problem]:
    if asked is None:
        return
    if earlier is None:
        yield Problem(
            "resume_from.checkpoint",
            "unknown_checkpoint",
            f"{asked.checkpoint} was not found in this project.",
            "Name a job that ListTrainingJobs shows, or one of its checkpoints.",
        )
    elif earlier.state not in KEEPS_CHECKPOINTS or checkpoint is None:
        yield Problem(
            "resume_from.checkpoint",
            "checkpoint_not_kept",
            f"{earlier.name} is {earlier.state} and keeps no such checkpoint to go on from.",
            "A job that SUCCEEDED or FAILED keeps its newest, if it saved one; ListCheckpoints shows it.",
        )


def _is_allowed(path: str, roots: tuple[PurePosixPath, ...]) -> bool:
    """The worker, which sees the disk, checks links as well."""
    plain = PurePosixPath(posixpath.normpath(path))
    return plain.is_absolute() and any(plain != root and plain.is_relative_to(root) for root in roots)


def _path_not_allowed(path: str, roots: tuple[PurePosixPath, ...]) -> Problem:
    allowed = ", ".join(map(str, roots)) or "none"
    return Problem(
        "base_model.path",
        "path_not_allowed",
        f"{path} is not below a folder that the operator allows ({allowed}).",
        "Put the model there, or ask the operator to add its folder to VISIONTUNE_WORKER_MODEL_ROOTS.",
    )
