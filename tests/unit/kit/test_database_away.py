"""What counts as a database that is away, and what is a fault of ours."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from visiontune_kit.database import is_away


def wrapped(error: Exception, *, invalidated: bool = False) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, error, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        FileNotFoundError(2, "no such socket"),
        TimeoutError("connecting took too long"),
        NoConnectionFree("QueuePool limit of size 10 overflow 0 reached"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        wrapped(asyncpg.AdminShutdownError("terminating connection due to administrator command")),
        wrapped(asyncpg.CrashShutdownError("terminating connection because of a crash")),
        wrapped(asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")),
        wrapped(asyncpg.IdleInTransactionSessionTimeoutError("idle for too long")),
        wrapped(asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction")),
        wrapped(RuntimeError("whatever it was, it ended the connection"), invalidated=True),
    ],
)
def test_a_database_that_is_away(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        wrapped(asyncpg.UndefinedTableError("no such table")),
        IntegrityError("INSERT", {}, asyncpg.UniqueViolationError("twice")),
        OperationalError("SELECT", {}, RuntimeError("no such table: jobs")),
        asyncpg.InvalidPasswordError("password authentication failed"),
        ValueError("ours"),
    ],
)
def test_a_fault_of_ours(error: Exception) -> None:
    assert not is_away(error)
