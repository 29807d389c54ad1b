"""A Python in which torch and all else that workers and previews import is there: 0.2 s instead of 5 s.

Workers start so wherever a test is not about how they start.
"""

import atexit
import tempfile
from functools import cache
from pathlib import Path

from tests.support import warm

LOADED = (
    "peft",
    "pyarrow.parquet",
    "torchvision.transforms.v2",
    "transformers.models.llava.modeling_llava",
    "visiontune_worker.__main__",
    "visiontune_worker.preview",
    "visiontune_worker.run",
)


@cache
def python() -> Path:
    """For `worker_python` of the settings, or to run `-m visiontune_worker` by."""
    folder = tempfile.TemporaryDirectory(prefix="visiontune-python-")
    atexit.register(folder.cleanup)
    return warm.python(warm.server(*LOADED), Path(folder.name))


def variables() -> dict[str, str]:
    """For the programs of a stack."""
    return {"VISIONTUNE_WORKER_PYTHON": str(python())}
