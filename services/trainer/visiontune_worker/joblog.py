"""Warnings of the libraries that train become lines of the job's log, where whoever owns the job sees them.

Of these libraries alone: what clients of object stores or trackers log may hold signed URLs, or a key of the
operator's.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIBRARIES = ("accelerate", "bitsandbytes", "peft", "py.warnings", "torch", "transformers")
# Some say the same at every step.
MOST_DIFFERENT = 1_000


class _Lines(logging.Handler):
    def __init__(self, tell: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Passes on what was not said before."""
        text = f"{record.name}: {self.format(record).strip()}"
        if text not in self._told and len(self._told) < MOST_DIFFERENT:
            self._told.add(text)
            self._tell("error" if record.levelno >= logging.ERROR else "warning", text)


@contextmanager
def forwarding(tell: Callable[[str, str], None]) -> Iterator[None]:
    """Inside the block `tell` gets level and text of each warning, once."""
    lines = _Lines(tell)
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    for each in loggers:
        each.addHandler(lines)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for each in loggers:
            each.removeHandler(lines)
