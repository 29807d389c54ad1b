"""Images that the CLI has changed on their way in."""

import json
from pathlib import Path

from PIL import ExifTags, Image

from tests.support import archives
from tests.support.stack import Stack


def test_the_cli_removes_metadata_and_says_what_that_saved(stack: Stack, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.0)})
    taken = archives.encoded(Image.new("RGB", (64, 48), "red"), "JPEG", exif=exif)
    archive = tmp_path / "taken.tar"
    archive.write_bytes(archives.tar({**archives.numbered(2), "images/000.jpg": taken}))
    done = stack.cli("dataset", "import", str(archive), "-d", "taken", "--strip-metadata")
    assert "Imported taken/v1: 2 examples, 2 images" in done.stdout
    assert " saved" in done.stdout
    assert "Imported taken/v2" in stack.cli("dataset", "import", str(archive), "-d", "taken").stdout


def test_the_cli_makes_images_smaller(stack: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "large.tar"
    archive.write_bytes(
        archives.tar({**archives.numbered(2), "images/001.jpg": archives.noise(9, (300, 200))})
    )
    options = ("--largest-side", "150", "--image-format", "webp", "--image-quality", "60")
    done = stack.cli("dataset", "import", str(archive), "-d", "large", *options)
    assert "Imported large/v1: 2 examples, 2 images" in done.stdout
    assert " saved" in done.stdout
    listed = json.loads(stack.cli("dataset", "examples", "large", "-o", "json").stdout)
    image = listed[1]["images"][0]
    assert (image["format"], image["widthPx"], image["heightPx"]) == ("WEBP", 150, 100)
