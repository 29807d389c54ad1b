"""The whole log of an attempt as a text of bounded size."""

from collections import deque

from visiontune_trainer.domain.reports import LogLine

# Of a longer log the middle is left out: its beginning and its end say most.
MOST_LOG_BYTES = 8 * 1024 * 1024


class LogText:
    """Takes lines in their order; keeps the first half of the bytes that it may have, and the last half."""

    def __init__(self, most_bytes: int = MOST_LOG_BYTES) -> None:
        self._room_bytes = most_bytes // 2
        self._tail_bytes = most_bytes - self._room_bytes
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._left_out = 0

    def add(self, line: LogLine) -> None:
        """Adds a line."""
        text = _text_of(line)
        if not self._tail and len(text) <= self._room_bytes:
            self._room_bytes -= len(text)
            self._head.append(text)
            return
        self._tail.append(text)
        self._tail_bytes -= len(text)
        while self._tail_bytes < 0:
            self._tail_bytes += len(self._tail.popleft())
            self._left_out += 1

    def encoded(self) -> bytes:
        """The text in UTF-8; empty when there was no line."""
        gap = [f"... {self._left_out:,} lines are left out here ...\n".encode()] if self._left_out else []
        return b"".join([*self._head, *gap, *self._tail])


def _text_of(line: LogLine) -> bytes:
    at = line.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at} {line.level or 'info':<7} {line.message}\n".encode()
