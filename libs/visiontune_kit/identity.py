"""Who calls: the principal of the running call."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Role(IntEnum):
    """What a principal may do; each may all that the one before may. Values as in identity.proto."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3
    OPERATOR = 4


class Kind(StrEnum):
    """What a principal is."""

    USER = "user"
    SERVICE = "service"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Principal:
    """Someone who calls, believed."""

    subject: str  # for example `key:k-7f3a` or `service:dataset`
    project: str  # the bare id
    role: Role
    kind: Kind


_current: ContextVar[Principal] = ContextVar("principal")


def current() -> Principal:
    """Returns the principal of the running call; LookupError outside one."""
    return _current.get()


def current_or_none() -> Principal | None:
    """Returns the principal of the running call, or None outside one."""
    return _current.get(None)


def enter(principal: Principal) -> None:
    """Makes `principal` the one of the running call. For interceptors."""
    _current.set(principal)
