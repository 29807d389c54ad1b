"""What every child process of the service does: it works, tells its parent, and ends with it."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from visiontune_data.decoding import end_with_parent

from visiontune_dataset.adapters.http_file import Unreadable


@dataclass(frozen=True, slots=True)
class SourceLost:
    """What it reads cannot be read any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Died:
    """A process died, or something unexpected was raised; `reason` is for the log."""

    reason: str


def tell(connection: Connection, work: Callable[[], Any]) -> None:
    """Sends what `work` returns as the last message, or SourceLost or Died in its place."""
    end_with_parent()
    try:
        outcome = work()
    except Unreadable as error:
        outcome = SourceLost(str(error))
    except Exception:  # noqa: BLE001 (whatever it is, the parent logs it and tries again)
        outcome = Died(traceback.format_exc())
    connection.send(outcome)
