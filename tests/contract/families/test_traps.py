"""What goes wrong quietly in other trainings and no other test here would notice; see README.md beside."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers.image_processing_backends import TorchvisionBackend
from visiontune_recipes.families import FAMILIES, Family
from visiontune_worker import build
from visiontune_worker.shards import Example

from tests.support import families, worker_data
from tests.support.families import often

SEEING = {
    name: family for name, family in families.WITH_PRESET.items() if families.preset_of(family).processor
}


def turned(example: Example, orientation: int | None) -> Example:
    """The example with its picture as a camera stores it: turned, with a tag that says so."""
    picture = Image.open(io.BytesIO(example.images[0])).convert("RGB")
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=exif)
    return replace(example, images=[buffer.getvalue()])


@pytest.mark.parametrize("family", often(SEEING, ("llava", "clip")))
def test_a_picture_that_a_camera_turned_is_seen_upright(family: Family) -> None:
    made = families.whole(family)
    objective = families.objective(family, made)
    [example, *_] = (each for each in families.examples(family, 1) if len(each.images) == 1)
    inputs = [
        given
        for orientation in (None, 6)
        for each in objective.encode([turned(example, orientation)])
        for given in objective.model_inputs(each)
        if given.vision
    ]
    half = len(inputs) // 2
    for upright, tagged in zip(inputs[:half], inputs[half:], strict=True):
        assert all(torch.equal(upright.vision[name], tagged.vision[name]) for name in upright.vision)


@pytest.mark.parametrize("family", often(SEEING, SEEING))
def test_pictures_are_scaled_by_one_library_on_every_machine(family: Family) -> None:
    # Pillow and torchvision differ by a hundredth; whichever is installed would be taken.
    images = families.whole(family).processor.image_processor
    assert not type(images).__name__.endswith("Pil")
    assert isinstance(images, TorchvisionBackend) or family.name == "video_llava"  # which has one alone


def test_limits_of_pixels_by_their_older_names_hold(tmp_path: Path) -> None:
    family = FAMILIES["qwen2_vl"]
    made = families.whole(family)
    made.model.save_pretrained(tmp_path)
    made.processor.save_pretrained(tmp_path)
    for name in ("processor_config.json", "preprocessor_config.json"):
        older = tmp_path / name
        if older.exists():
            older.write_text(json.dumps(renamed(json.loads(older.read_text()), most=48 * 48)))
    spec = families.resolved(worker_data.spec({"path": str(tmp_path)}))
    again = build.build(spec, build.Sources(roots=(tmp_path.parent,)))
    [encoded] = families.objective(family, again).encode([families.pictures(0, (640, 400))])
    patch_px = again.processor.image_processor.patch_size
    assert int(encoded.vision["image_grid_thw"].prod()) * patch_px**2 <= 48 * 48


def renamed(config: dict[str, Any], most: int) -> dict[str, Any]:
    """A processor's config with limits as they were called before `size`."""
    for each in (config, config.get("image_processor", {})):
        if "size" in each:
            del each["size"]
            each |= {"min_pixels": 32 * 32, "max_pixels": most}
    return config


@pytest.mark.parametrize("family", often(families.WITH_PRESET, ("llava", "text")))
def test_training_keeps_no_cache_of_what_was_read(family: Family) -> None:
    made = families.built(family, *family.parts.names)
    kept: list[Any] = []
    hook = made.model.register_forward_hook(
        lambda _module, _inputs, output: kept.append(getattr(output, "past_key_values", None))
    )
    training = families.training(family, made)
    training.advance(families.steps(family, made, 1)[0])
    hook.remove()
    assert [each for each in kept if each is not None] == []


@pytest.mark.parametrize("family", often(families.WITH_PRESET, ("llava", "text")))
def test_no_vocabulary_grows(family: Family) -> None:
    # A grown one is forgotten by adapters; so nothing is added, and what a text spells out is refused.
    made = families.whole(family)
    embeddings = (each for each in made.model.modules() if isinstance(each, torch.nn.Embedding))
    assert any(each.num_embeddings == len(made.tokenizer) for each in embeddings)
