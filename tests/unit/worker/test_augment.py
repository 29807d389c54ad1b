"""Each transform draws from its picture's own seed, leaves every global generator alone, and keeps sizes."""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from visiontune_recipes.augmentation import Augmentation, Preset, Transform, resolve
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.transforms import TRANSFORMS
from visiontune_worker import augment
from visiontune_worker.augment import MAKERS, Augment
from visiontune_worker.faults import ConfigurationFault

from tests.support import worker_data

# These do the same to every picture that they change.
CERTAIN = {
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
    "RandomVerticalFlip",
}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(load_sample_image("china.jpg")).resize((128, 96))


def always(name: str, **parameters: float) -> Augment:
    transform = Transform(name=name, parameters={**parameters, "probability": 1})
    return made(Augmentation(transforms=(transform,)))


def made(asked: Augmentation, seed: int = 7) -> Augment:
    resolved = resolve(asked)
    assert resolved is not None
    return Augment(resolved, seed)


def pixels(picture: Image.Image) -> bytes:
    assert picture.mode == "RGB"
    return picture.tobytes()


def test_the_worker_has_what_a_policy_may_name() -> None:
    assert MAKERS.keys() == TRANSFORMS.keys()
    with pytest.raises(ConfigurationFault, match="no transform Mixup"):
        Augment(Augmentation(transforms=(Transform(name="Mixup"),)), 7)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_picture_depends_on_its_place_alone_and_no_global_generator_is_touched(
    name: str, photo: Image.Image
) -> None:
    change = always(name)
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]
    first = pixels(change(photo, epoch=3, row=11, index=0))
    torch.rand(1)
    places: list[Mapping[str, int]] = [
        {"epoch": 4, "row": 11, "index": 0},
        {"epoch": 3, "row": 11, "index": 1},
    ]
    others = {pixels(change(photo, **place)) for place in [*places, {"epoch": 3, "row": 12, "index": 0}]}
    torch.set_rng_state(before[0])
    assert pixels(change(photo, epoch=3, row=11, index=0)) == first
    assert first != pixels(photo)
    assert (others == {first}) == (name in CERTAIN)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("size", [(8, 8), (8, 120), (121, 37)])
@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_a_picture_keeps_its_size_at_both_ends_of_every_bound(
    name: str, size: tuple[int, int], end: str, photo: Image.Image
) -> None:
    change = always(name, **{each.name: getattr(each, end) for each in TRANSFORMS[name].parameters.values()})
    for row in range(3):
        changed = change(photo.resize(size), epoch=0, row=row, index=0)
        assert (changed.size, changed.mode) == (size, "RGB")


@pytest.mark.parametrize("preset", [each for each in Preset if each is not Preset.NONE])
def test_a_preset_makes_other_pictures_in_every_epoch(preset: Preset, photo: Image.Image) -> None:
    change = made(Augmentation(preset=preset))
    seen = {pixels(change(photo, epoch=epoch, row=0, index=0)) for epoch in range(8)}
    assert len(seen) == 8


def test_another_seed_makes_other_pictures(photo: Image.Image) -> None:
    strong = Augmentation(preset=Preset.STRONG)
    seen = {pixels(made(strong, seed)(photo, epoch=0, row=0, index=0)) for seed in range(8)}
    assert len(seen) == 8


def test_pictures_made_at_the_same_time_are_those_made_one_after_another(photo: Image.Image) -> None:
    change = made(Augmentation(preset=Preset.STRONG))

    def at(row: int) -> bytes:
        return pixels(change(photo, epoch=0, row=row, index=0))

    alone = [at(row) for row in range(32)]
    torch.manual_seed(5)
    expected = torch.rand(32).tolist()
    torch.manual_seed(5)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(at, range(32))
        drawn = [torch.rand(1).item() for _ in range(32)]
        assert list(together) == alone
    assert drawn == expected


def test_probability_is_the_share_of_pictures_that_change(photo: Image.Image) -> None:
    flip = Transform(name="RandomHorizontalFlip", parameters={"probability": 0.3})
    change = made(Augmentation(transforms=(flip,)))
    changed = sum(pixels(change(photo, epoch=0, row=row, index=0)) != pixels(photo) for row in range(400))
    assert 0.22 < changed / 400 < 0.38


def test_text_alone_is_not_augmented() -> None:
    spec = worker_data.spec(augmentation={"preset": "PRESET_LIGHT"})
    spec = spec.model_copy(update={"augmentation": resolve(spec.augmentation)})
    assert augment.of(spec, DatasetFacts(frozenset({Kind.CHAT}))) is None
    assert augment.of(spec, DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}))) is not None
    assert augment.of(worker_data.spec(), DatasetFacts(frozenset())) is None
