"""What the use cases need from the world; `adapters` has it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from visiontune_kit.clock import Clock
from visiontune_kit.tokens import TokenMinter

from visiontune_gateway.domain.api_keys import ApiKey


class ApiKeys(Protocol):
    """The keys of every project."""

    async def add(self, key: ApiKey) -> None:
        """Writes a new row."""

    async def replace_secret(self, key_id: str, secret_sha256: str) -> None:
        """Makes the key's earlier secret void."""

    async def find(self, key_id: str) -> ApiKey | None:
        """Returns the key, whatever its project, or None."""

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[ApiKey]:
        """Returns keys made before that (time, id), newest first."""

    async def remove(self, key_id: str) -> None:
        """Deletes the row."""


class UnitOfWork(Protocol):
    """One transaction, rolled back unless committed."""

    @property
    def keys(self) -> ApiKeys:
        """Keys, as this transaction sees them."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: Any) -> None: ...

    async def commit(self) -> None:
        """Makes everything since the start visible at once."""


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a use case is handed."""

    unit_of_work: Callable[[], UnitOfWork]
    clock: Clock
    minter: TokenMinter
    new_secret: Callable[[], str]  # 256 random bits as text
