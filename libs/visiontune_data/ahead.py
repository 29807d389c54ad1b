"""Fetches images by URL a little before records ask for them, several at once."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

AT_ONCE = 8  # also how many images there are in memory before their records are


class FetchAhead:
    """A fetch that has been told what comes. What it returns and raises is what the fetch behind does.

    The order of calls is the caller's alone: what is fetched early waits for its turn.
    """

    def __init__(self, fetch: Callable[[str], bytes], at_once: int = AT_ONCE) -> None:
        self._fetch, self._at_once = fetch, at_once
        self._threads = ThreadPoolExecutor(at_once, "fetch")
        self._wanted: deque[str] = deque()
        self._under_way: dict[str, Future[bytes]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether it knows of enough to do."""
        return len(self._wanted) >= self._at_once

    def expect(self, urls: Iterable[str]) -> None:
        """Begins with these, each of which will be asked for, as soon as there is room."""
        self._wanted.extend(url for url in urls if url not in self._under_way and url not in self._wanted)
        self._begin()

    def __call__(self, url: str) -> bytes:
        """The bytes at the URL, expected or not."""
        future = self._under_way.get(url)
        try:
            if future is not None:
                return future.result()
            if url in self._wanted:
                self._wanted.remove(url)
            return self._fetch(url)
        finally:
            self._under_way.pop(url, None)
            self._begin()

    def _begin(self) -> None:
        while self._wanted and len(self._under_way) < self._at_once:
            url = self._wanted.popleft()
            self._under_way[url] = self._threads.submit(self._fetch, url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
