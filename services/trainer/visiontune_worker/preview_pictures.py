"""What a policy of augmentation makes of pictures; see preview.proto."""

from collections.abc import Callable

import numpy as np
from google.protobuf.json_format import MessageToDict
from PIL import Image
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune_data import pictures
from visiontune_recipes.augmentation import Augmentation
from visiontune_recipes.presets import PRESETS

from visiontune_worker.augment import Augment
from visiontune_worker.sights import IMAGES

# Larger pictures are varied reduced to this: memory stays bounded, and nobody sees the difference.
MOST_PIXELS = 12_000_000


def show(request: pb.PreviewPictureRequest, wanted: Callable[[], bool]) -> pb.PreviewPictureResponse:
    """Stops early when nobody waits for the answer any more."""
    policy = MessageToDict(request.augmentation, preserving_proto_field_name=True)
    augment = Augment(Augmentation.model_validate(policy), request.seed)
    picture = _bounded(pictures.read(request.data))
    seen = seen_by(request.model_preset) if request.model_preset else _fitting(request.side_px)
    original = seen(picture)
    answer = pb.PreviewPictureResponse(
        original=pictures.encode(original), width_px=original.width, height_px=original.height
    )
    for epoch in request.epochs:
        if not wanted():
            break
        changed = augment(picture, epoch=epoch, row=request.row, index=request.index)
        answer.augmented.append(pictures.encode(seen(changed)))
    return answer


def _bounded(picture: Image.Image) -> Image.Image:
    share = (MOST_PIXELS / (picture.width * picture.height)) ** 0.5
    return picture if share >= 1 else _fitting(int(max(picture.size) * share))(picture)


def _fitting(side_px: int) -> Callable[[Image.Image], Image.Image]:
    def fit(picture: Image.Image) -> Image.Image:
        small = picture.copy()
        small.thumbnail((side_px, side_px))
        return small

    return fit


def seen_by(model_preset: str) -> Callable[[Image.Image], Image.Image]:
    """What a preset's image processor makes of a picture, before it becomes numbers around 0.

    Of a picture in tiles the one that shows the whole; of one in patches the size that it is scaled to.
    """
    from visiontune_worker import presets  # noqa: PLC0415 - transformers takes seconds to load

    processor = presets.image_processor(PRESETS[model_preset])

    def see(picture: Image.Image) -> Image.Image:
        found = processor(picture, do_rescale=False, do_normalize=False, return_tensors="pt")
        if "image_grid_thw" in found:
            _, rows, columns = found["image_grid_thw"][0].tolist()
            side_px = processor.patch_size
            return picture.resize((columns * side_px, rows * side_px), processor.resample)
        pixels = next(found[name] for name in IMAGES if name in found)
        tiles = (
            pixels.reshape(-1, *pixels.shape[-3:]).permute(0, 2, 3, 1).round().clamp(0, 255).byte().numpy()
        )
        whole = np.asarray(picture.resize((tiles.shape[2], tiles.shape[1])), np.int16)
        return Image.fromarray(tiles[int(np.abs(tiles - whole).mean((1, 2, 3)).argmin())])

    return see
