"""HTTP under the SDK: identity, trace context, retries, and errors as exceptions."""

import contextlib
import os
import random
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from visiontune import errors
from visiontune.transcode import HttpCall

# 503 of the gateway while it or a service behind it starts; 502 of a proxy before it.
RETRIED = frozenset({502, 503})
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 3.0
_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")


@dataclass(slots=True)
class Transport:
    """One server and who is calling it. Safe to use from several threads.

    Every call is repeated after a lost connection or a 503: reading is harmless, and every mutation carries
    a `request_id`. A server that has answered gets `patience_s` to come back; one that never has, less.
    """

    server: str
    api_key: str = field(repr=False)
    timeout_s: float = 30.0
    patience_s: float = 60.0
    first_patience_s: float = 2.0
    # 32 hexadecimal digits, to make all calls one trace; empty makes each call its own.
    trace_id: str = ""
    http: httpx.Client = field(init=False, repr=False)
    answered: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.server = self.server.rstrip("/")
        self.http = http_client(self.server, self.timeout_s)

    def call(self, call: HttpCall, timeout_s: float | None = None) -> httpx.Response:
        """The answer to one call. Raises Unreachable, or the ApiFailure that the server sent."""
        for pause in self.pauses():
            try:
                response = self.http.request(
                    call.method,
                    self.server + call.path,
                    params=call.query or None,
                    json=call.body,
                    headers=self.headers(),
                    timeout=timeout_s or self.timeout_s,
                )
            except httpx.TransportError as error:
                pause.or_raise(self.unreachable(error))
                continue
            self.answered = True
            if response.is_success:
                return response
            failure = failure_of(response)
            if not _may_be_repeated(response):
                raise failure
            pause.or_raise(failure)
        raise AssertionError("pauses() never ends by itself")

    @contextlib.contextmanager
    def stream(
        self, call: HttpCall, headers: Mapping[str, str], silence_s: float
    ) -> Iterator[httpx.Response]:
        """The open answer to one call, not repeated. Raises as `call` does; `silence_s` bounds each read."""
        try:
            with self.http.stream(
                call.method,
                self.server + call.path,
                params=call.query or None,
                headers={**self.headers(), **headers},
                timeout=httpx.Timeout(self.timeout_s, read=silence_s),
            ) as response:
                self.answered = True
                if not response.is_success:
                    response.read()
                    raise failure_of(response)
                yield response
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def headers(self) -> dict[str, str]:
        """Identity, and a fresh span in the trace."""
        trace_id = self.trace_id or secrets.token_hex(16)
        return {
            "authorization": f"Bearer {self.api_key}",
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        }

    def pauses(self) -> Iterator["Pause"]:
        """One Pause an attempt; its `or_raise` sleeps, or raises when patience is over."""
        start, attempt = time.monotonic(), 0
        while True:
            patience_s = self.patience_s if self.answered else self.first_patience_s
            longest = min(FIRST_PAUSE_S * 2**attempt, MOST_PAUSE_S)
            left_s = start + patience_s - time.monotonic()
            yield Pause(random.uniform(longest / 2, longest), left_s)  # noqa: S311 (spreads retries, hides nothing)
            attempt += 1

    def unreachable(self, error: Exception) -> errors.Unreachable:
        """The same failure in words that help."""
        return errors.Unreachable(
            f"No answer from {self.server} ({error or type(error).__name__}). "
            "Start it with: visiontune up --detach, or name another with --server."
        )


@dataclass(frozen=True, slots=True)
class Pause:
    """The time between two attempts."""

    length_s: float
    left_s: float

    def or_raise(self, failure: Exception) -> None:
        """Sleeps; raises `failure` instead when there is no time left for another attempt."""
        if self.length_s > self.left_s:
            raise failure
        time.sleep(self.length_s)


def failure_of(response: httpx.Response) -> errors.ApiFailure:
    """The error in an answer; also when the answer is not one of ours, as of a proxy."""
    try:
        status = response.json()
    except ValueError:
        status = None
    if isinstance(status, Mapping) and "code" in status:
        return errors.from_status(status)
    return errors.ApiFailure(f"{response.request.url} answered {response.status_code}, and not in our form.")


def trace_id_from_environment() -> str:
    """The trace of TRACEPARENT, or a new one."""
    found = _TRACEPARENT.match(os.environ.get("TRACEPARENT", ""))
    return found[1] if found else secrets.token_hex(16)


def http_client(url: str, timeout_s: float) -> httpx.Client:
    """A client for one host. Proxies of the environment are not asked for what is on this machine."""
    host = httpx.URL(url).host
    is_local = host in {"127.0.0.1", "::1", "localhost"}
    return httpx.Client(timeout=timeout_s, trust_env=not is_local, follow_redirects=False)


def _may_be_repeated(response: httpx.Response) -> bool:
    """A quota is a 429 too, and waiting does not help it: only a server that says when is asked again."""
    limited = response.status_code == httpx.codes.TOO_MANY_REQUESTS and "retry-after" in response.headers
    return response.status_code in RETRIED or limited


def json_of(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises ApiFailure when it is none, as when --server names a web page."""
    try:
        return response.json()
    except ValueError as error:
        raise errors.ApiFailure(
            f"{response.request.url} answered with something that is not JSON. Is it a VisionTune server?"
        ) from error
