"""Training examples as their model would get them, by the program that encodes them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath

from visiontune_recipes.spec import Spec

from visiontune_trainer.domain.folders import Folder, StoredFile
from visiontune_trainer.domain.job import project_of
from visiontune_trainer.ports import SignedFiles
from visiontune_trainer.preview_ports import Preview, Shown
from visiontune_trainer.use_cases import models, origins, records
from visiontune_trainer.use_cases.deps import Deps

# Whoever looks may not keep others from deleting the version for long.
_URL_TTL = timedelta(minutes=10)
# Where a checkpoint keeps the processor.
_PROCESSOR = "processor/"
_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".gguf"})


async def show(spec: Spec, rows: Sequence[int], count: int, deps: Deps) -> Shown:
    """Shows rows, or the first `count` of the training. spec: resolved. Raises what Previewer raises."""
    async with deps.unit_of_work() as uow:
        chain = await models.chain_of(uow, spec.base_model)
        earlier = spec.resume_from and await origins.checkpoint_of(uow, spec.resume_from.checkpoint)
    return await deps.previewer.show(
        Preview(
            spec=spec,
            manifest=await deps.datasets.read_manifest(spec.dataset_version, _URL_TTL),
            model_files=[await models.signed(each, deps, _is_light) for each in chain],
            adapter_base=models.below(chain),
            resume_from=await _processor_of(earlier, deps) if earlier and spec.base_model.preset else None,
            rows=rows,
            count=count,
        )
    )


async def _processor_of(checkpoint: Folder, deps: Deps) -> SignedFiles:
    files = tuple(each for each in checkpoint.files if each.path.startswith(_PROCESSOR))
    urls = await records.sign_objects(project_of(checkpoint.job), [each.object for each in files], deps)
    return SignedFiles(checkpoint.name, files, urls, step=checkpoint.step)


def _is_light(file: StoredFile) -> bool:
    return PurePosixPath(file.path).suffix not in _WEIGHTS
