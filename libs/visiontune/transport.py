"""HTTP under the SDK: identity, trace context, retries, and errors as exceptions."""

import contextlib
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx
import urllib3

from visiontune import errors
from visiontune.transcode import HttpCall

# 503 of the gateway while it or a service behind it starts; 502 of a proxy before it.
RETRIED = frozenset({502, 503})
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 3.0
# By this attempt, 0-based, a person should hear that it takes longer: after about a second.
TELL_AT = 2
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
    patience_s: float = 45.0
    first_patience_s: float = 5.0
    # Told once a call when it has to wait for the server, and why.
    tell: Callable[[str], None] = field(default=lambda _why: None, repr=False)
    # 32 hexadecimal digits, to make all calls one trace; empty makes each call its own.
    trace_id: str = ""
    http: httpx.Client = field(init=False, repr=False)
    answered: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.server = self.server.rstrip("/")
        self.http = http_client(self.server, self.timeout_s)

    def call(self, call: HttpCall, timeout_s: float | None = None) -> httpx.Response:
        """The answer to one call. Raises Unreachable, or the ApiFailure that the server sent."""
        patience = Patience(self)
        while True:
            try:
                response = self.http.request(
                    call.method,
                    self.server + call.path,
                    params=call.query or None,
                    json=call.body,
                    content=call.content,
                    headers=self.headers()
                    | ({"content-type": call.content_type} if call.content_type else {}),
                    timeout=timeout_s or self.timeout_s,
                )
            except httpx.TransportError as error:
                patience.wait(self.unreachable(error))
                continue
            self.answered = True
            if response.is_success:
                return response
            failure = failure_of(response)
            if not _may_be_repeated(response):
                raise failure
            patience.wait(failure)

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

    @property
    def longest_wait_s(self) -> float:
        """Seconds for which a call is repeated."""
        return self.patience_s if self.answered else self.first_patience_s

    def headers(self) -> dict[str, str]:
        """Identity, and a fresh span in the trace."""
        trace_id = self.trace_id or secrets.token_hex(16)
        return {
            "authorization": f"Bearer {self.api_key}",
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        }

    def unreachable(self, error: Exception) -> errors.Unreachable:
        """The same failure in words that help."""
        return errors.Unreachable(
            f"No answer from {self.server} ({error or type(error).__name__}). "
            "Start it with: visiontune up --detach, or name another with --server."
        )


@dataclass(slots=True)
class Patience:
    """How long one call is repeated, and how often."""

    transport: Transport
    start: float = field(default_factory=time.monotonic)
    attempt: int = 0

    def wait(self, failure: errors.Failure) -> None:
        """Sleeps before the next attempt; raises `failure` when there is no time left for one."""
        longest_s = min(FIRST_PAUSE_S * 2**self.attempt, MOST_PAUSE_S)
        pause_s = random.uniform(longest_s / 2, longest_s)  # noqa: S311 - spreads retries, hides nothing
        if time.monotonic() + pause_s > self.start + self.transport.longest_wait_s:
            raise failure
        if self.attempt == TELL_AT:
            self.transport.tell(str(failure))
        time.sleep(pause_s)
        self.attempt += 1


def failure_of(response: httpx.Response) -> errors.ApiFailure:
    """The error in an answer; also when the answer is not one of ours, as of a proxy."""
    try:
        status = response.json()
    except ValueError:
        status = None
    if isinstance(status, Mapping) and "code" in status:
        return errors.from_status(status)
    late = response.status_code == httpx.codes.GATEWAY_TIMEOUT
    kind = errors.DeadlineExceeded if late else errors.ApiFailure
    return kind(f"{response.request.url} answered {response.status_code}, and not in our form.")


def trace_id_from_environment() -> str:
    """The trace of TRACEPARENT, or a new one."""
    found = _TRACEPARENT.match(os.environ.get("TRACEPARENT", ""))
    return found[1] if found else secrets.token_hex(16)


def http_client(url: str, timeout_s: float) -> httpx.Client:
    """A client for one host. Proxies of the environment are not asked for what is on this machine."""
    parsed = httpx.URL(url)
    # To load the authorities takes 50 ms, which plain text need not wait for; redirects are not followed.
    return httpx.Client(
        timeout=timeout_s,
        trust_env=not _is_local(parsed.host),
        verify=parsed.scheme != "http",
        follow_redirects=False,
    )


def bytes_client(url: str, stall_s: float, connections: int) -> urllib3.PoolManager:
    """A client for bulk bytes of one host, which urllib3 moves at less than half of httpx's cost.

    `stall_s` is how long one read or write may stall. Nothing is repeated and no redirect followed.
    """
    parsed = httpx.URL(url)
    proxies = {} if _is_local(parsed.host) or proxy_bypass(parsed.host) else getproxies()
    proxy = proxies.get(parsed.scheme) or proxies.get("all")
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=stall_s, read=stall_s),
        "retries": False,
        "maxsize": connections,
    }
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _is_local(host: str) -> bool:
    return host in {"127.0.0.1", "::1", "localhost"}


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
