"""Named points at which a test can make a server die, to prove that nothing is lost there."""

import os
import signal
from collections import Counter

_VARIABLE = "VISIONTUNE_FAULT"
_passages: Counter[str] = Counter()


def point(name: str) -> None:
    """Kills this process when `VISIONTUNE_FAULT` is `<name>:kill@<n>` and this is the n-th passage."""
    order = os.environ.get(_VARIABLE)
    if not order:
        return
    target, _, action = order.partition(":")
    if target != name:
        return
    _passages[name] += 1
    verb, _, passage = action.partition("@")
    if verb == "kill" and _passages[name] == int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)
