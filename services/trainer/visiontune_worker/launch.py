"""`torchrun`, but for its exit code: that is 1 whatever ended a rank, and Kubernetes judges a pod by it."""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from visiontune_worker.faults import Exit

# A shell's and a container runtime's way to say: ended by a signal.
_SIGNALS = 128


def main(arguments: list[str] | None = None) -> int:
    """Runs the ranks of this machine, by torchrun's arguments; returns the code of the one that ended first.

    RETRY when this machine was asked to leave, for then torchrun asks no rank how it ended.
    """
    try:
        run(parse_args(arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        sys.stderr.write(f"{error}\n")
        return code if code >= 0 else _SIGNALS - code
    except SignalException as error:
        sys.stderr.write(f"{error}\n")
        return Exit.RETRY
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
