"""Models: registered results of jobs, from which later jobs can start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from visiontune_recipes.spec import Base

from visiontune_trainer.domain.folders import Folder, FolderState, StoredFile, key_of
from visiontune_trainer.domain.job import Job
from visiontune_trainer.domain.lineage import Seen, generation_of
from visiontune_trainer.domain.models import Model, ModelFilter, result_of
from visiontune_trainer.domain.problems import ModelExists, ModelInUse, ModelNotFound, NoResult, StaleEtag
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import SignedFiles, SignedUrl, UnitOfWork
from visiontune_trainer.use_cases import lineage, origins, records
from visiontune_trainer.use_cases.deps import SWEEPER, Deps
from visiontune_trainer.use_cases.lookups import locked_job

_MOST_USERS = 10


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """A name for the result of a job."""

    name: str
    project: str
    uid: str  # the same for a repeated request
    training_job: str
    artifact: str  # empty for what was trained
    display_name: str
    description: str


async def register_model(command: RegisterModel, deps: Deps) -> Model:
    """Raises JobNotFound, NoResult, ModelExists; ModelNotFound when what an adapter sits on is gone."""
    async with deps.unit_of_work() as uow:
        existing = await uow.models.get(command.name)
        if existing is not None:
            if existing.uid == command.uid:
                return existing
            raise ModelExists(command.name)
        # The lock keeps the job from being deleted before the model's row guards its files.
        job = await locked_job(uow, command.training_job)
        result = result_of(await uow.folders.of(job.name, FolderState.COMMITTED), command.artifact)
        if job.state is not State.SUCCEEDED or result is None:
            raise NoResult(job.name, job.state, command.artifact)
        base = await _sits_on(uow, job)
        if result.is_adapter:
            await origins.hold(uow, base)
        model = Model(
            name=command.name,
            project=command.project,
            uid=command.uid,
            display_name=command.display_name or command.name.rpartition("/")[2],
            description=command.description,
            family=job.family,
            training_job=job.name,
            base_model=base,
            is_adapter=result.is_adapter,
            parameter_count=job.parameter_count,
            owner=result.owner,
            files=result.files,
            created_at=deps.clock.now(),
            artifact=result.path.rpartition("/")[2],
            lineage=(generation_of(job, command.name, command.uid), *await lineage.behind(uow, job)),
        )
        await uow.models.add(model)
        await uow.commit()
    return model


async def get_model(name: str, deps: Deps) -> tuple[Model, list[Seen]]:
    """Returns the model and its lineage. Raises ModelNotFound."""
    model = await _existing(name, deps)
    return model, await lineage.look(model.lineage, deps)


async def list_models(
    project: str, wanted: ModelFilter, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> list[Model]:
    """Returns at most `limit` models, newest first, after the position (created_at, name)."""
    async with deps.unit_of_work() as uow:
        return await uow.models.page(project, wanted, after, limit)


async def list_files(
    name: str, start: int, limit: int, deps: Deps
) -> tuple[list[StoredFile], dict[str, SignedUrl]]:
    """Returns at most `limit` files from a position on, and a signed URL by object. Raises ModelNotFound."""
    model = await _existing(name, deps)
    files = list(model.files[start : start + limit])
    return files, await records.sign_objects(model.project, [each.object for each in files], deps)


async def delete_model(name: str, etag: str, deps: Deps) -> None:
    """Deletes a model. Its files follow when its job is gone and no other model is made of them.

    Raises ModelNotFound, StaleEtag, ModelInUse.
    """
    known = await _existing(name, deps)
    async with deps.unit_of_work() as uow:
        # Whoever deletes the job, or starts another one from the model, waits.
        await uow.jobs.lock(known.training_job)
        model = await uow.models.lock(name)
        if model is None:
            raise ModelNotFound(name)
        if etag not in {"", model.etag}:
            raise StaleEtag(name)
        users = [
            *await uow.jobs.starting_from(name, _MOST_USERS),
            *await uow.models.adapters_on(name, _MOST_USERS),
        ]
        if users:
            raise ModelInUse(name, users)
        await uow.models.delete(name)
        job, path, attempt = key_of(model.owner)
        is_needed = await uow.models.made_of(model.owner) or await uow.folders.get(job, path, attempt)
        if not is_needed:
            left = Folder(job, path, attempt, deps.clock.now(), FolderState.DOOMED, model.files)
            await uow.folders.add(left)
        await uow.commit()
    deps.wakeups.notify(SWEEPER)


async def _existing(name: str, deps: Deps) -> Model:
    async with deps.unit_of_work() as uow:
        model = await uow.models.get(name)
    if model is None:
        raise ModelNotFound(name)
    return model


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
