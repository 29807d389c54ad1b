"""Generates Python code and the descriptor set from protos/. Run by `make protos`.

The output is committed, so that installing needs no compiler; `make lint` compares it with a fresh run.
"""

import argparse
import os
import sys
from pathlib import Path

import google.api.annotations_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
THIRD_PARTY = ROOT / "third_party"
# google/api and google/rpc come with googleapis-common-protos; third_party holds the same files for
# buf, and what no wheel has under its canonical name.
GOOGLEAPIS = Path(google.api.annotations_pb2.__file__).parents[2]
# Its Python module comes from no wheel either, so it is generated beside ours.
VENDORED_MODULES = ["buf/validate/validate.proto"]
DESCRIPTORS = "visiontune/descriptors.binpb"


def generate(output: Path) -> None:
    """Writes `visiontune/<service>/v1`, `buf/validate` and the descriptor set below `output`."""
    ours = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    includes = [f"-I{PROTOS}", f"-I{THIRD_PARTY}", f"-I{GOOGLEAPIS}", f"-I{protoc_include()}"]
    run(
        [
            *includes,
            f"--python_out={output}",
            f"--mypy_out={output}",
            *ours,
            *VENDORED_MODULES,
        ]
    )
    run([*includes, f"--grpc_python_out={output}", f"--mypy_grpc_out={output}", *ours])
    # Comments travel along: the gateway makes its OpenAPI page from them. error_details lets a
    # transcoder print the details of an error.
    run(
        [
            *includes,
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={output / DESCRIPTORS}",
            *ours,
            "google/rpc/error_details.proto",
            "google/longrunning/operations.proto",
        ]
    )
    for package in sorted({(output / name).parent for name in ours}):
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()


def protoc_include() -> Path:
    """Folder of google/protobuf/*.proto inside grpcio-tools."""
    return Path(protoc.__file__).parent / "_proto"


def run(arguments: list[str]) -> None:
    """Calls protoc, whose plugins lie beside this Python; exits with its message when it fails."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc failed; its messages are above.")


def main() -> None:
    """Parses the command line and generates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "libs")
    output: Path = parser.parse_args().output
    (output / "visiontune").mkdir(parents=True, exist_ok=True)
    generate(output)


if __name__ == "__main__":
    main()
