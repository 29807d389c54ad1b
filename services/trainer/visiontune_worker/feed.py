"""A job's examples on their way to the model: which, how, in what order, and by how many threads."""

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from visiontune_recipes.families import Family
from visiontune_recipes.objectives import batchings
from visiontune_recipes.resolve import SMALL_MODEL_PARAMETERS
from visiontune_recipes.spec import Batching, Spec

from visiontune_worker import augment, data, features
from visiontune_worker.build import Built
from visiontune_worker.claim import Manifest
from visiontune_worker.data import Examples
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.loop import Training
from visiontune_worker.objectives.causal_lm import CausalLM
from visiontune_worker.objectives.objective import Batch
from visiontune_worker.order import Lengths, Order
from visiontune_worker.settings import Settings
from visiontune_worker.shards import Shards
from visiontune_worker.tower import Tower

MOST_WORKERS = 4
# What an image weighs beside text when lengths are estimated: four characters a token, and as many tokens an
# image as LLaVA has, or one a square of 28 pixels.
IMAGE_CHARACTERS = 2304
PIXELS_A_CHARACTER = 28 * 28 // 4


@dataclass(frozen=True, slots=True)
class Feed:
    """Where batches for training and examples for measuring come from."""

    shards: Shards
    order: Order
    lengths: Lengths | None  # None: the order of an epoch is not changed
    train: Examples
    held_out: Examples
    workers: int
    packed: bool = False

    def batches(self, start: int, stop: int) -> Generator[Sequence[Batch], None, None]:
        """Our passes of each step from `start` to before `stop`."""
        return data.ahead(
            lambda: data.plan(self.shards, self.order, start=start, stop=stop, lengths=self.lengths),
            self.train.batches,
            workers=self.workers,
        )

    @property
    def how(self) -> str:
        """How examples are laid out and what is kept of them, in words."""
        laid_out = "of like length in each step" if self.lengths else "in the order of the epoch"
        if self.packed:
            laid_out += ", those of a pass one after another in one row"
        return f"{laid_out}, features are kept" if self.train.keeps_features else laid_out

    def some(self, count: int) -> list[Any]:
        """The first good examples of the first epoch."""
        return self.train.first(((int(shard), int(nth)) for shard, nth in self.order.epoch(0)), count)

    def ids_at(self, step: int) -> list[str]:
        """Ids of the examples of a step, those of all ranks."""
        places = self.order.step_places(step, self.lengths)
        return [self.shards.example("train", int(shard), int(nth)).id for shard, nth in places]


def feed(training: Training, spec: Spec, manifest: Manifest, shards: Shards, settings: Settings) -> Feed:
    """What a resolved spec asks for. ConfigurationFault for a batching that the model's family cannot."""
    built = training.built
    _refuse_batching(spec, built.family)
    changes = augment.of(spec, manifest.facts)
    kept = None
    epochs = (training.total_steps - training.data_start_step) / training.order.steps_per_epoch
    if features.usable(built, spec, augmented=changes is not None, epochs=epochs):
        tower = Tower(built)
        built.given_to_model = tower.given_to_model
        kept = features.Features(tower, features.Store(*_place(settings)))
    half = settings.example_cache_bytes // settings.local_ranks // 2
    on_bad = training.notices.skip if spec.skips_bad_examples else None
    grouped = (spec.asked_batching or chosen_batching(built, spec)) is Batching.LENGTH_GROUPED
    found = Feed(
        shards=shards,
        order=training.order,
        lengths=estimates(shards, "train", by_area=not built.family.one_place_an_image) if grouped else None,
        train=Examples(
            shards,
            "train",
            training.objective,
            cache_bytes=half,
            augment=changes,
            features=kept,
            on_bad=on_bad,
        ),
        held_out=Examples(
            shards, "validation", training.objective, cache_bytes=half, features=kept, on_bad=on_bad
        ),
        workers=_workers(settings),
        packed=spec.batching is Batching.PACKED,
    )
    if spec.batching is Batching.PACKED and isinstance(training.objective, CausalLM):
        training.objective.refuse_leaks(found.some(2))
    return found


def chosen_batching(built: Built, spec: Spec) -> Batching:
    """What a spec that does not say gets: a small model's padding costs less than finding what is alike."""
    large = built.parameter_count >= SMALL_MODEL_PARAMETERS
    alike = large and Batching.LENGTH_GROUPED in batchings(spec, built.family)
    return Batching.LENGTH_GROUPED if alike else Batching.PADDED


def estimates(shards: Shards, split: str, *, by_area: bool) -> Lengths:
    """Lengths of a split's examples without decoding or encoding any, in characters; see `estimate`."""

    @cache
    def lengths(shard: int) -> NDArray[np.int64]:
        columns = ["messages", "images"] if by_area else ["messages"]
        rows = shards.rows(split, shard, columns)
        return np.array([estimate(row, by_area=by_area) for row in rows], np.int64)

    return lengths


def estimate(row: Mapping[str, Any], *, by_area: bool) -> int:
    """About how long an example's row is beside others. by_area: images count by size, not all alike."""
    parts = [part for message in row.get("messages") or () for part in message["content"] or ()]
    characters: int = sum(len(part["text"] or "") for part in parts)
    if by_area:
        pixels: int = sum(_pixels(each["bytes"]) for each in row.get("images") or ())
        return characters + pixels // PIXELS_A_CHARACTER
    return characters + IMAGE_CHARACTERS * sum(1 for part in parts if part["type"] == "image")


def _pixels(data: bytes) -> int:
    """By the image's header; 0 for what has none, which is somebody else's to tell."""
    try:
        with Image.open(BytesIO(data)) as image:
            return int(image.width * image.height)
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0


def _refuse_batching(spec: Spec, family: Family) -> None:
    """What `check` could not say of a model whose family only the worker learns."""
    offered = batchings(spec, family)
    if spec.batching not in offered:
        raise ConfigurationFault(
            "BATCHING_NOT_OFFERED",
            f"This training of the family {family.name} does not offer {spec.batching}. "
            f"Set loading.batching to {offered[-1]}.",
        )


def _place(settings: Settings) -> tuple[Path, int]:
    """Folder and size of the store of features. One that outlives the attempt is shared by all ranks."""
    own = settings.own_scratch_dir / "features"
    if settings.feature_cache_dir is None:
        return own, settings.feature_cache_bytes // settings.local_ranks
    return settings.feature_cache_dir, settings.feature_cache_bytes


def _workers(settings: Settings) -> int:
    """Threads that make batches: a core is left to training, and many would only wait for each other."""
    if settings.data_workers is not None:
        return settings.data_workers
    cores = len(os.sched_getaffinity(0)) // settings.local_ranks
    return max(1, min(MOST_WORKERS, cores - 1))
