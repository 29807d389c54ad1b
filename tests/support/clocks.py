"""Clocks that tests move."""

from datetime import UTC, datetime, timedelta


class MovableClock:
    """The machine's clock, which a test may move on."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved
