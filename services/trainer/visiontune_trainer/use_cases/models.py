"""Models: registered results of jobs, from which later jobs can start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from visiontune_recipes.spec import Base

from visiontune_trainer.domain.folders import FolderState, StoredFile
from visiontune_trainer.domain.job import Job
from visiontune_trainer.domain.models import Model, result_of
from visiontune_trainer.domain.problems import ModelExists, ModelNotFound, NoResult
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import SignedFiles, UnitOfWork
from visiontune_trainer.use_cases import records
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.lookups import locked_job


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """A name for the result of a job."""

    name: str
    project: str
    uid: str  # the same for a repeated request
    training_job: str
    display_name: str
    description: str


async def register_model(command: RegisterModel, deps: Deps) -> Model:
    """Raises JobNotFound, NoResult, ModelExists."""
    async with deps.unit_of_work() as uow:
        existing = await uow.models.get(command.name)
        if existing is not None:
            if existing.uid == command.uid:
                return existing
            raise ModelExists(command.name)
        # The lock keeps the job from being deleted before the model's row guards its files.
        job = await locked_job(uow, command.training_job)
        result = result_of(await uow.folders.of(job.name, FolderState.COMMITTED))
        if job.state is not State.SUCCEEDED or result is None:
            raise NoResult(job.name, job.state)
        model = Model(
            name=command.name,
            project=command.project,
            uid=command.uid,
            display_name=command.display_name or command.name.rpartition("/")[2],
            description=command.description,
            family=job.family,
            training_job=job.name,
            base_model=await _sits_on(uow, job),
            is_adapter=result.is_adapter,
            parameter_count=job.parameter_count,
            owner=result.owner,
            files=result.files,
            created_at=deps.clock.now(),
        )
        await uow.models.add(model)
        await uow.commit()
    return model


async def get_model(name: str, deps: Deps) -> Model:
    """Raises ModelNotFound."""
    async with deps.unit_of_work() as uow:
        model = await uow.models.get(name)
    if model is None:
        raise ModelNotFound(name)
    return model


async def list_models(
    project: str, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> list[Model]:
    """Returns at most `limit` models, newest first, after the position (created_at, name)."""
    async with deps.unit_of_work() as uow:
        return await uow.models.page(project, after, limit)


async def _sits_on(uow: UnitOfWork, job: Job) -> Base:
    """Returns what a job's result is loaded on top of, when it is an adapter. Raises ModelNotFound."""
    base = job.resolved.base_model.at(job.base_revision)
    if base.model is None or not job.resolved.adaptation.continue_adapter:
        return base
    continued = await uow.models.get(base.model)
    if continued is None:
        raise ModelNotFound(base.model)
    return continued.base_model


async def chain_of(uow: UnitOfWork, base: Base) -> list[Model]:
    """Returns the registered models to load for `base`: full weights first, then each adapter on top.

    Empty when it is none; without full weights when the first adapter sits on a Hub or local model.
    """
    chain: list[Model] = []
    while base.model is not None:
        model = await uow.models.get(base.model)
        if model is None:
            raise ModelNotFound(base.model)
        chain.insert(0, model)
        if not model.is_adapter:
            break
        base = model.base_model
    return chain


def below(chain: Sequence[Model]) -> Base | None:
    """What the first model of a chain sits on, when it is an adapter."""
    return chain[0].base_model if chain and chain[0].is_adapter else None


async def signed(
    model: Model, deps: Deps, wanted: Callable[[StoredFile], bool] = lambda _: True
) -> SignedFiles:
    """Returns a model's files, those that are wanted, with where to GET each."""
    files = tuple(filter(wanted, model.files))
    urls = await records.sign_objects(model.project, [file.object for file in files], deps)
    return SignedFiles(model.name, files, urls, is_adapter=model.is_adapter)
