"""The CLI goes on from versions: appends to one, filters the next."""

from pathlib import Path

from tests.support import archives
from tests.support.stack import Stack


def test_the_cli_appends_and_filters(stack: Stack, tmp_path: Path) -> None:
    first, more = tmp_path / "first.tar", tmp_path / "more.tar"
    first.write_bytes(archives.tar(archives.numbered(3)))
    record = archives.jsonl(archives.numbered_record(3))
    more.write_bytes(archives.tar({"train.jsonl": record, archives.image_name(3): archives.noise(3)}))
    stack.cli("dataset", "import", str(first), "-d", "grown")
    done = stack.cli("dataset", "import", str(more), "-d", "grown", "--base-version", "1")
    assert "Imported grown/v2: 4 examples, 4 images" in done.stdout
    taken = stack.cli("dataset", "import", str(more), "-d", "grown", "--base-version", "v2", check=False)
    assert 'the id "r3" is that of example 3 of v2' in taken.stderr
    stack.cli("dataset", "filter", "grown", "--version", "2", "--filter", "id = r3 OR id = r0")
    with stack.client() as client:
        assert [each.example_id for each in client.list_examples("grown")] == ["r0", "r3"]
        assert client.get_version("grown").parent_version.endswith("/grown/versions/v2")
    stack.cli("dataset", "delete", "grown", "--force")
    assert "grown is back." in stack.cli("dataset", "undelete", "grown").stdout
