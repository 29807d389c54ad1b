"""Training examples as their model would get them, by the program that encodes them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath

from visiontune_recipes.spec import Spec

from visiontune_trainer.domain.folders import StoredFile
from visiontune_trainer.preview_ports import Preview, Shown
from visiontune_trainer.use_cases import models
from visiontune_trainer.use_cases.deps import Deps

# Whoever looks may not keep others from deleting the version for long.
_URL_TTL = timedelta(minutes=10)
_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".gguf"})


async def show(spec: Spec, rows: Sequence[int], count: int, deps: Deps) -> Shown:
    """Shows rows, or the first `count` of the training. spec: resolved. Raises what Previewer raises."""
    async with deps.unit_of_work() as uow:
        chain = await models.chain_of(uow, spec.base_model)
    return await deps.previewer.show(
        Preview(
            spec=spec,
            manifest=await deps.datasets.read_manifest(spec.dataset_version, _URL_TTL),
            model_files=[await models.signed(each, deps, _is_light) for each in chain],
            adapter_base=models.below(chain),
            rows=rows,
            count=count,
        )
    )


def _is_light(file: StoredFile) -> bool:
    return PurePosixPath(file.path).suffix not in _WEIGHTS
