"""What a frozen vision tower makes of images: computed once, kept on disk, and given to the model instead.

Kept is what the projector is given, so that the projector may train. The same image, processor and weights
have the same key, whatever job, attempt or example they belong to.
"""

import hashlib
import inspect
import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import __version__ as transformers_version
from transformers.modeling_outputs import BaseModelOutputWithPooling
from visiontune_recipes.objectives import CAUSAL_LM, objective_of
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built

# Stands among an example's vision inputs in place of what the tower takes.
FEATURES = "image_features"
_PICTURES = frozenset({"pixel_values", "pixel_attention_mask"})


class Store:
    """Tensors in files of a folder, by key, as long as all fit into `limit_bytes`; no others come then.

    Other processes may share the folder: a file is there whole or not at all.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._used_bytes = sum(each.stat().st_size for each in folder.glob("*/*.safetensors"))

    def get(self, key: str) -> Tensor | None:
        """What is kept under a key."""
        try:
            return load_file(self._path(key))[FEATURES]
        except FileNotFoundError:
            return None

    def put(self, key: str, features: Tensor) -> bool:
        """Keeps a tensor. False when there is no room for it."""
        with self._lock:
            if self._used_bytes + features.nbytes > self._limit_bytes:
                return False
            self._used_bytes += features.nbytes
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            save_file({FEATURES: features.contiguous()}, made)
            made.replace(path)
        except OSError:
            # A full disk is no reason to end a training that can do without.
            made.unlink(missing_ok=True)
            return False
        return True

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"


class _Captured(Exception):  # noqa: N818 - not an error: the projector's input, on its way out
    def __init__(self, given: Tensor) -> None:
        self.given = given


class Tower:
    """The vision tower of a built model whose family says where its projector is."""

    def __init__(self, built: Built) -> None:
        self._built = built
        self._projector = built.model.get_submodule(built.family.features_before)
        self._takes = frozenset(inspect.signature(built.model.get_image_features).parameters)
        # Only of the thread that asks: another one may be training at the same time.
        self._asking = threading.local()
        self._projector.register_forward_pre_hook(self._capture)

    def of(self, vision: Mapping[str, Tensor]) -> Tensor:
        """The features, on the CPU, of one example's vision inputs. Company would change last digits."""
        device = self._built.device
        given = {name: each.to(device) for name, each in vision.items() if name in self._takes}
        self._asking.active = True
        try:
            with torch.no_grad(), self._built.autocast():
                self._built.model.get_image_features(**given)
        except _Captured as captured:
            return captured.given.cpu().contiguous()
        finally:
            self._asking.active = False
        raise RuntimeError(f"{self._built.family.name} did not ask its projector for an image")

    def given_to_model(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """A model's inputs, features among them, as its forward pass takes them: projected."""
        rest = dict(inputs)
        features = rest.pop(FEATURES, None)
        if features is None:
            return rest
        # A list, as of images: the families that keep features join what is in it.
        projected: Any = [self._projector(features).flatten(0, -2)]
        outputs = BaseModelOutputWithPooling(pooler_output=projected)
        return {**rest, "mm_encoder_outputs": {"image": outputs}}

    def digest(self) -> str:
        """Of all that features depend on besides the image: weights, processor, libraries, number format."""
        parts = self._built.family.parts
        found = hashlib.sha256()
        for name, each in sorted(self._built.model.state_dict().items()):
            if parts.part_of(name) == "vision_tower":
                found.update(f"{name} {each.dtype} {tuple(each.shape)}".encode())
                found.update(each.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        processor = self._built.processor
        about = {
            "processor": getattr(processor, "image_processor", processor).to_dict(),
            "family": self._built.family.name,
            "precision": self._built.precision,
            "versions": [torch.__version__, transformers_version],
            "device": self._built.device.type,
        }
        found.update(json.dumps(about, sort_keys=True, default=str).encode())
        return found.hexdigest()

    def _capture(self, _projector: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
        if getattr(self._asking, "active", False):
            raise _Captured(given[0])


class Features:
    """Gives examples the features of their images, from the store where they are there."""

    def __init__(self, tower: Tower, store: Store) -> None:
        self._tower = tower
        self._store = store
        self._lock = threading.Lock()
        self._digest = ""

    def key(self, images: Sequence[bytes]) -> str:
        """Under which the features of an example's images are kept, in this order."""
        with self._lock:
            # Not before the first image: reading all weights takes a moment.
            self._digest = self._digest or self._tower.digest()
        found = hashlib.sha256(self._digest.encode())
        for each in images:
            found.update(hashlib.sha256(each).digest())
        return found.hexdigest()

    def kept(self, key: str) -> Tensor | None:
        """The features under a key, if they are kept."""
        return self._store.get(key)

    def of(self, vision: Mapping[str, Tensor], key: str) -> tuple[Tensor, bool]:
        """The features of an example's images, and whether they are kept from now on."""
        kept = self._store.get(key)
        if kept is not None:
            return kept, True
        made = self._tower.of(vision)
        return made, self._store.put(key, made)


def in_place_of_pictures(vision: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
    """An example's vision inputs with features where its pictures were."""
    return {**without_pictures(vision), FEATURES: features}


def without_pictures(vision: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What stays of vision inputs when features take the place of pictures."""
    return {name: each for name, each in vision.items() if name not in _PICTURES}


def usable(built: Built, spec: Spec, *, augmented: bool, epochs: float) -> bool:
    """Whether features can be kept and are worth it.

    The tower is frozen, the family can take features, and there are epochs that see the same pictures.
    """
    tower = built.family.parts.part_of
    trains = any(tower(name) == "vision_tower" for name in built.trainable())
    # Of a sharded model a thread cannot run a part alone.
    can = bool(built.family.features_before) and not trains and not augmented and not built.sharded
    can = can and objective_of(spec, built.family) is CAUSAL_LM
    return spec.keeps_features and can and epochs > 1
