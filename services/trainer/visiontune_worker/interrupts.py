"""Where those who want the worker to stop say so, and where it looks between two steps."""

import signal
import threading
from types import FrameType

from visiontune_worker.faults import Cancelled, Ending, Fault, Paused, Preempted, Stale


class Interrupts:
    """Remembers the strongest ending heard: stale, another rank's fault, cancelled, paused, preempted.

    Safe from any thread.
    """

    _RISING: tuple[type[Ending], ...] = (Preempted, Paused, Cancelled, Fault, Stale)

    def __init__(self) -> None:
        self._heard: Ending | None = None
        self._lock = threading.Lock()

    @classmethod
    def strength(cls, ending: Ending) -> int:
        """Of two endings the one with the larger number counts."""
        return next(index for index, kind in enumerate(cls._RISING) if isinstance(ending, kind))

    def hear(self, ending: Ending) -> None:
        """Notes an ending; a weaker one than before changes nothing."""
        with self._lock:
            if self._heard is None or self.strength(ending) > self.strength(self._heard):
                self._heard = ending

    @property
    def heard(self) -> Ending | None:
        """The strongest so far; None while nobody has said stop."""
        return self._heard

    @property
    def quiet(self) -> bool:
        """True while nobody has said stop."""
        return self._heard is None

    def check(self, *, but: type[Ending] | tuple[type[Ending], ...] = ()) -> None:
        """Raises what was heard, if anything, unless it is of the kind `but`."""
        if self._heard is not None and not isinstance(self._heard, but):
            raise self._heard

    def check_final(self) -> None:
        """Raises what was heard, unless it is Preempted or Paused: what is half saved gets saved."""
        self.check(but=(Preempted, Paused))

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT become Preempted. Call it from the main thread."""

        def preempted(number: int, _frame: FrameType | None) -> None:
            # No lock here: the main thread may hold it.
            if self._heard is None:
                self._heard = Preempted(f"signal {signal.Signals(number).name}")

        signal.signal(signal.SIGTERM, preempted)
        signal.signal(signal.SIGINT, preempted)
