"""What the ranks have to say to whoever reads the job's events: told on any of them, heard by rank 0."""

import threading
from collections.abc import Callable, Sequence

SKIPPED = "EXAMPLE_SKIPPED"
# Further ones are lines of the log alone: they would bury the events of the job.
MOST_SKIPPED_EVENTS = 10


class Notices:
    """tell: safe from any thread. `untold` is exchanged by the ranks between steps, and rank 0 hears it."""

    def __init__(
        self, event: Callable[[str, str], None] | None = None, line: Callable[[str, str], None] | None = None
    ) -> None:
        self._event = event or (lambda _reason, _message: None)
        self._line = line or (lambda _level, _message: None)
        self._lock = threading.Lock()
        self._untold: list[tuple[str, str]] = []
        self._skipped: set[str] = set()

    @property
    def skipped(self) -> int:
        """Examples left out so far, by any rank."""
        return len(self._skipped)

    def skip(self, message: str) -> None:
        """Tells what is wrong with an example that is left out."""
        self.tell(SKIPPED, f"{message} It is left out.")

    def tell(self, reason: str, message: str) -> None:
        """Says something to rank 0."""
        with self._lock:
            self._untold.append((reason, message))

    def untold(self) -> list[tuple[str, str]]:
        """What was told since the last call."""
        with self._lock:
            told, self._untold = self._untold, []
            return told

    def hear(self, told: Sequence[tuple[str, str]], rank: int) -> None:
        """Passes on what a rank told. An example that another rank has left out before is not told again."""
        for reason, message in told:
            if reason != SKIPPED:
                self._event(reason, f"Rank {rank}: {message}" if rank else message)
            elif message not in self._skipped:
                self._skipped.add(message)
                if self.skipped <= MOST_SKIPPED_EVENTS:
                    self._event(reason, message)
                else:
                    self._line("warning", message)
