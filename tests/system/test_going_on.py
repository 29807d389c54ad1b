"""The CLI goes on from versions: appends, replaces and filters."""

import json
from pathlib import Path

from tests.support import archives
from tests.support.stack import Stack


def test_the_cli_appends_replaces_and_filters(stack: Stack, tmp_path: Path) -> None:
    def packed(files: archives.Files) -> str:
        archive = tmp_path / "photos.tar"
        archive.write_bytes(archives.tar(files))
        return str(archive)

    onto = ("-d", "grown", "--base-version")
    refused = stack.cli(
        "dataset", "import", packed(archives.numbered(2)), "-d", "grown", "--mode", "replace", check=False
    )
    assert "Add --base-version N." in refused.stderr
    stack.cli("dataset", "import", packed(archives.numbered(3)), "-d", "grown")
    more = {
        "train.jsonl": archives.jsonl(archives.numbered_record(3)),
        archives.image_name(3): archives.noise(3),
    }
    done = stack.cli("dataset", "import", packed(more), *onto, "1")
    assert "Imported grown/v2: 4 examples, 4 images" in done.stdout
    taken = stack.cli("dataset", "import", packed(more), *onto, "v2", check=False)
    assert 'the id "r3" is that of example 3 of v2' in taken.stderr
    other = archives.llava(archives.image_name(3), "Another.", id="r3")
    changed = {**more, "train.jsonl": archives.jsonl(other)}
    stack.cli("dataset", "import", packed(changed), *onto, "2", "--mode", "replace")
    stack.cli("dataset", "filter", "grown", "--version", "3", "--filter", "id = r3 OR id = r0")
    listed = json.loads(stack.cli("dataset", "examples", "grown", "-o", "json").stdout)
    assert [each["exampleId"] for each in listed] == ["r0", "r3"]
    assert listed[1]["messages"][1]["content"][0]["text"] == "Another."
    shown = json.loads(stack.cli("dataset", "show", "grown", "-o", "json").stdout)
    assert shown["parentVersion"].endswith("/grown/versions/v3")
