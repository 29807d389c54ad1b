"""Options of an import that change its images."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from visiontune.dataset.v1 import dataset_pb2


class ImageFormat(StrEnum):
    """What images become where that makes them smaller."""

    KEEP = "keep"
    JPEG = "jpeg"
    WEBP = "webp"


StripMetadata = Annotated[
    bool, typer.Option("--strip-metadata", help="Remove EXIF with GPS, XMP, IPTC and comments from images.")
]
LargestSide = Annotated[
    int, typer.Option(min=0, max=16384, help="Reduce images to this longest side, 16 or more.", metavar="PX")
]
Format = Annotated[
    ImageFormat | None, typer.Option(help="Write images anew in this format where that makes them smaller.")
]
Quality = Annotated[
    int, typer.Option(min=0, max=100, help="Of JPEG and WebP that are written anew; 85 when 0.")
]


def policy(
    largest_side_px: int, format_: ImageFormat | None, quality: int
) -> "dataset_pb2.ImagePolicy | None":
    """The policy that the options ask for; None without any of them."""
    from visiontune.dataset.v1 import dataset_pb2

    if not (largest_side_px or format_ or quality):
        return None
    formats = {
        ImageFormat.JPEG: dataset_pb2.ImagePolicy.FORMAT_JPEG,
        ImageFormat.WEBP: dataset_pb2.ImagePolicy.FORMAT_WEBP,
    }
    return dataset_pb2.ImagePolicy(
        largest_side_px=largest_side_px,
        format=formats.get(format_ or ImageFormat.KEEP, dataset_pb2.ImagePolicy.FORMAT_UNSPECIFIED),
        quality=quality,
    )
