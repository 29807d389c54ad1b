"""Compares the committed generated code with a fresh run. Exits 1 and names what differs."""

import filecmp
import sys
import tempfile
from pathlib import Path

from generate_protos import ROOT, generate

LIBS = ROOT / "libs"


def drift(fresh: Path) -> list[str]:
    """Returns the generated files that differ, are missing, or should not be there."""
    made = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    committed = {
        path.relative_to(LIBS)
        for path in [
            *LIBS.glob("visiontune/*/v1/*"),
            *LIBS.glob("buf/**/*"),
            LIBS / "visiontune/descriptors.binpb",
        ]
        if path.is_file() and path.suffix in {".py", ".pyi", ".binpb"}
    }
    unequal = {path for path in made & committed if not filecmp.cmp(fresh / path, LIBS / path, shallow=False)}
    absent = {path for path in made - committed if not (LIBS / path).exists()}
    return sorted(str(path) for path in unequal | absent | (committed - made))


def main() -> None:
    """Generates into a temporary folder and compares."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        (fresh / "visiontune").mkdir()
        generate(fresh)
        different = drift(fresh)
    if different:
        sys.exit(
            "Generated files differ from protos/; run `make protos` and commit:\n  " + "\n  ".join(different)
        )
    print("Generated files are what protos/ gives.")


if __name__ == "__main__":
    main()
