"""What a frozen vision tower makes of images, kept on disk: computed once, and given to the model instead.

Kept is what the projector is given, so that the projector may train. The same image, processor and weights
have the same key, whatever job, attempt or example they belong to.
"""

import hashlib
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file, save_file
from torch import Tensor
from visiontune_recipes.objectives import CAUSAL_LM, CONTRASTIVE, LATE_INTERACTION, objective_of
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built
from visiontune_worker.objectives.objective import Encoded
from visiontune_worker.shards import Example
from visiontune_worker.tower import Tower, in_place_of_pictures, pictures, without_features

E = TypeVar("E", bound=Encoded)
Tensors = Mapping[str, Tensor]


class Store:
    """Tensors in files of a folder, by key, as long as all fit into `limit_bytes`; no others come then.

    Other processes may share the folder: a file is there whole or not at all.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._used_bytes = sum(each.stat().st_size for each in folder.glob("*/*.safetensors"))

    def get(self, key: str) -> dict[str, Tensor] | None:
        """What is kept under a key."""
        try:
            return load_file(self._path(key))
        except FileNotFoundError:
            return None

    def put(self, key: str, features: Tensors) -> bool:
        """Keeps tensors. False when there is no room for them."""
        size_bytes = sum(each.nbytes for each in features.values())
        with self._lock:
            if self._used_bytes + size_bytes > self._limit_bytes:
                return False
            self._used_bytes += size_bytes
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            save_file(dict(features), made)
            made.replace(path)
        except OSError:
            # A full disk is no reason to end a training that can do without.
            made.unlink(missing_ok=True)
            return False
        return True

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"


class Features:
    """Gives examples the features of their pictures, from the store where they are there."""

    def __init__(self, tower: Tower, store: Store) -> None:
        self._tower = tower
        self._store = store
        self._lock = threading.Lock()
        self._digest = ""

    def in_place(self, encoded: E, example: Example) -> tuple[E, Sequence[str]]:
        """An example with features in place of its pictures, and the keys under which they are kept.

        No keys where there is nothing to keep, or no room for all of it.
        """
        views = encoded.views()
        if not any(pictures(each) for each in views):
            return encoded, ()
        keys = [self._key(contents, example) for contents in encoded.seen_in_views(example)]
        found = [self._of(*each) for each in zip(views, keys, strict=True)]
        replaced = [
            in_place_of_pictures(view, features) for view, (features, _) in zip(views, found, strict=True)
        ]
        return encoded.with_views(replaced), keys if all(kept for _, kept in found) else ()

    def again(self, encoded: E, keys: Sequence[str]) -> E | None:
        """An example that was left `without`, with its features; None when some are not there any more."""
        found = [self._store.get(key) for key in keys]
        if None in found:
            return None
        views = zip(encoded.views(), found, strict=True)
        return encoded.with_views([{**view, **(features or {})} for view, features in views])

    @staticmethod
    def without(encoded: E) -> E:
        """An example without its features, to be kept in memory while those are kept on disk."""
        return encoded.with_views([without_features(view) for view in encoded.views()])

    def _key(self, contents: Sequence[bytes], example: Example) -> str:
        """Under which the features of images are kept that the model sees together, in this order."""
        with self._lock:
            # Not before the first image: reading all weights takes a moment.
            self._digest = self._digest or self._tower.digest()
        # The frames of a video are not what they are as so many images.
        found = hashlib.sha256(f"{self._digest} {sorted(example.videos.items())}".encode())
        for each in contents:
            found.update(hashlib.sha256(each).digest())
        return found.hexdigest()

    def _of(self, view: Tensors, key: str) -> tuple[Tensors, bool]:
        """The features of a view, and whether they are kept from now on."""
        if self._tower.knows(view) and (kept := self._store.get(key)) is not None:
            return kept, True
        made = self._tower.of(view)
        return made, self._store.put(key, made)


def usable(built: Built, spec: Spec, *, augmented: bool, epochs: float) -> bool:
    """Whether features can be kept and are worth it.

    The tower is frozen, the family says where, and there are epochs that see the same pictures.
    """
    tower = built.family.parts.part_of
    trains = any(tower(name) == "vision_tower" for name in built.trainable())
    # Of a sharded model a thread cannot run a part alone.
    can = bool(built.family.features_before) and not trains and not augmented and not built.sharded
    # A preference has a second model, which was copied before this one was taught to spare its tower.
    can = can and objective_of(spec, built.family) in (CAUSAL_LM, CONTRASTIVE, LATE_INTERACTION)
    return spec.keeps_features and can and epochs > 1
