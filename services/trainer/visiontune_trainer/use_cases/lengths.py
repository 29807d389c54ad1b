"""Whether a job's examples fit into its model: by statistics where they suffice, else by encoding some."""

import asyncio
from collections.abc import Iterator

from visiontune_kit import errors
from visiontune_kit.helper import HelperBusy, HelperFailed
from visiontune_recipes import lengths
from visiontune_recipes.lengths import Measured
from visiontune_recipes.problem import Problem
from visiontune_recipes.spec import Spec

from visiontune_trainer.domain.problems import PreviewNotInstalled, PreviewRefused
from visiontune_trainer.preview_ports import Shown
from visiontune_trainer.use_cases import previews
from visiontune_trainer.use_cases.deps import Deps

# Of each kind of extreme.
_LOOKED_AT = 4
# Whoever creates a job waits for the answer; the child goes on loading for the next one.
_PATIENCE_S = 20.0
# What may keep examples from being encoded here and now, and says nothing against the job.
_NOT_NOW = (
    *(PreviewNotInstalled, PreviewRefused, HelperFailed, HelperBusy, TimeoutError),
    *(errors.Unavailable, errors.DeadlineExceeded, errors.ResourceExhausted, errors.Unimplemented),
)


async def check(spec: Spec, reach: lengths.Reach | None, deps: Deps) -> tuple[Problem | None, bool]:
    """What is too long, and whether that is sure: only what is may refuse a job.

    spec: resolved. reach: by the version's statistics; None where they say nothing.
    """
    if reach is None or (reach.surely is not None and reach.surely <= reach.longest):
        return None, True
    shown = await _encoded(spec, deps)
    if shown is None:
        return lengths.estimated(reach, spec), False
    return lengths.measured(list(_measured(shown)), shown.max_length, spec), True


async def _encoded(spec: Spec, deps: Deps) -> Shown | None:
    """The largest examples as the model gets them; None where nobody can tell now."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            rows = await deps.datasets.largest_rows(spec.dataset_version, _LOOKED_AT)
            return await previews.show(spec, rows, 0, deps) if rows else None
    except _NOT_NOW:
        return None


def _measured(shown: Shown) -> Iterator[Measured]:
    """The longest input of each example."""
    for example in shown.examples:
        if example.inputs:
            most = max(example.inputs, key=lambda each: each.tokens)
            yield Measured(
                example.name, example.id, most.tokens, most.excess_image_tokens, most.excess_trained_tokens
            )
