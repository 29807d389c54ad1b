"""The worker, as it is launched, that tells at its end how much memory it held at most.

Not by `ru_maxrss`, which a process takes over from the one that started it.
"""

import os
import sys
from pathlib import Path

from visiontune_worker.__main__ import main

PEAK = "VmHWM:"


def peak_bytes() -> int:
    """Most memory that this process held, libraries and mapped files among it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(PEAK)) * 1024


if __name__ == "__main__":
    code = main()
    Path(os.environ["VISIONTUNE_TEST_FOLDER"], "peak").write_text(str(peak_bytes()))
    sys.exit(code)
