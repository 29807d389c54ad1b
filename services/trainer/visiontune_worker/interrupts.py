"""Where those who want the worker to stop say so, and where it looks between two steps."""

import signal
import threading
from types import FrameType

from visiontune_worker.faults import Cancelled, Order, Preempted, Stale


class Interrupts:
    """Remembers the strongest order heard: stale before cancelled before preempted. Safe from any thread."""

    _RANK: tuple[type[Order], ...] = (Preempted, Cancelled, Stale)

    def __init__(self) -> None:
        self._heard: Order | None = None
        self._lock = threading.Lock()

    def hear(self, order: Order) -> None:
        """Notes an order; a weaker one than before changes nothing."""
        with self._lock:
            if self._heard is None or self._RANK.index(type(order)) > self._RANK.index(type(self._heard)):
                self._heard = order

    @property
    def quiet(self) -> bool:
        """True while nobody has said stop."""
        return self._heard is None

    def check(self) -> None:
        """Raises the order that was heard, if any."""
        if self._heard is not None:
            raise self._heard

    def check_final(self) -> None:
        """Raises the order that was heard, unless it is Preempted: what is half saved gets saved."""
        if not isinstance(self._heard, Preempted):
            self.check()

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT become Preempted. Call it from the main thread."""

        def preempted(number: int, _frame: FrameType | None) -> None:
            # No lock here: the main thread may hold it.
            if self._heard is None:
                self._heard = Preempted(f"signal {signal.Signals(number).name}")

        signal.signal(signal.SIGTERM, preempted)
        signal.signal(signal.SIGINT, preempted)
