"""Images that the CLI has changed on their way in."""

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
