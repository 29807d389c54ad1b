"""Names of replicas, from which another one on the same machine can tell that they are dead."""

import os
import socket
import uuid
from functools import cache
from pathlib import Path


def new_name() -> str:
    """Returns a name that no other replica has or had: `<place>/<process id>/<random>`."""
    return f"{_place()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


def is_dead(name: str) -> bool:
    """True when the replica certainly ended; False also when that cannot be told from here."""
    place, process_id, _ = name.rsplit("/", 2)
    if place != _place():
        return False
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _place() -> str:
    """One boot of one machine, and one space of process ids on it: elsewhere an id means another process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return socket.gethostname()[-100:]
    return f"{socket.gethostname()[-60:]}/{boot}/{space}"
