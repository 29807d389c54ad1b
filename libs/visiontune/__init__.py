"""VisionTune: fine-tune vision-language models as a service. SDK, CLI and contracts.

`visiontune.Client` talks to a server; `visiontune.errors` is what it raises. Both load on first use, so
that importing a contract, for example `visiontune.trainer.v1`, costs nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visiontune import errors
    from visiontune.client import Client

__all__ = ["Client", "errors"]


def __getattr__(name: str) -> Any:
    match name:
        case "Client":
            return importlib.import_module("visiontune.client").Client
        case "errors":
            return importlib.import_module("visiontune.errors")
    raise AttributeError(f"module 'visiontune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
