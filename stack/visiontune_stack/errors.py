"""What can stop a stack from starting, each with its remedy."""


class StackFailure(Exception):  # noqa: N818 - as the other trees, without Error on every leaf
    """The stack cannot do what was asked; the message says why and what to do."""


class PortTaken(StackFailure):
    """Another process listens on a port that the stack needs."""

    def __init__(self, port: int, program: str) -> None:
        super().__init__(
            f"Port {port}, which {program} needs, is taken by another process. "
            f"Stop that process, or use other ports: visiontune up --port {_other_base(port)}"
        )
        self.port = port
        self.program = program


class SetupFailed(StackFailure):
    """A step that runs before the programs ended badly."""

    def __init__(self, step: str, exit_code: int, log: str) -> None:
        super().__init__(f"{step} ended with exit code {exit_code}. Its output is in {log}.")


class AlreadyRunning(StackFailure):
    """Another supervisor holds the lock of this home."""

    def __init__(self, home: str) -> None:
        super().__init__(
            f"A stack already runs from {home}. See: visiontune status. "
            "For a second one beside it, set VISIONTUNE_HOME and --port."
        )


class DidNotStart(StackFailure):
    """The programs run, but did not become ready in time."""


def _other_base(port: int) -> int:
    """A base well away from `port`, so that the two ranges of 100 ports cannot meet."""
    base = port % 10_000
    return (base // 100 + 1) * 100 if base < 9_800 else 8_000
