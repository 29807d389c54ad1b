"""Fetches images that records name by URL: from allowed hosts, never from private addresses."""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore
from visiontune_data.ahead import AT_ONCE
from visiontune_data.foreign import FAILED, PRIVATE, REFUSED, NotFetched
from visiontune_data.limits import MIB
from visiontune_data.text import shorten

_TIMEOUT_S = 10.0
_OK = 200
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether the whole internet has the address; an IPv4 address inside an IPv6 one counts as itself."""
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_global and not inner.is_multicast


@dataclass(slots=True)
class ImageFetcher:
    """Implements visiontune_data.foreign.Fetch, for several threads.

    By https, no redirects, no proxy, at most `most_bytes`. `hosts` are names, each with `*.` before it
    for all below, and `:port` behind it for another than 443.
    """

    hosts: Iterable[str]
    most_bytes: int = 20 * MIB
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    allowed: Callable[[Address], bool] = is_public
    timeout_s: float = _TIMEOUT_S
    _pool: httpcore.ConnectionPool = field(init=False)

    def __post_init__(self) -> None:
        backend = _Backend(self.allowed)
        self._pool = httpcore.ConnectionPool(self.tls, max_connections=AT_ONCE, network_backend=backend)

    def __call__(self, url: str) -> bytes:
        """The bytes at the URL. Raises NotFetched."""
        shown = f'"{shorten(url)}"'
        if not is_allowed(url, self.hosts):
            raise NotFetched(REFUSED, f"{shown} is a URL of a host that is not allowed here")
        try:
            return self._read(url, shown)
        except (
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            ValueError,
        ) as error:
            reason = shorten(str(error) or type(error).__name__)
            raise NotFetched(FAILED, f"{shown} cannot be fetched ({reason})") from error

    def _read(self, url: str, shown: str) -> bytes:
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_s)
        until = time.monotonic() + self.timeout_s
        with self._pool.stream("GET", url, extensions={"timeout": limits}) as answer:
            if answer.status != _OK:
                raise NotFetched(FAILED, f"{shown} answers HTTP {answer.status}")
            data = bytearray()
            for chunk in answer.iter_stream():
                data += chunk
                if len(data) > self.most_bytes:
                    raise NotFetched(FAILED, f"{shown} has more than {self.most_bytes:,} bytes")
                if time.monotonic() > until:
                    raise NotFetched(FAILED, f"{shown} takes longer than {self.timeout_s:g} s")
            return bytes(data)


def is_allowed(url: str, hosts: Iterable[str]) -> bool:
    """Whether the URL is https, without a user, of one of the hosts."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or "@" in parts.netloc or not parts.hostname:
        return False
    wanted = parts.hostname + ("" if port in {None, 443} else f":{port}")
    return any(
        wanted.endswith(host[1:]) if host.startswith("*.") else wanted == host
        for host in map(str.lower, hosts)
    )


class _Backend(httpcore.SyncBackend):
    """Resolves a name once, and connects to an address of it if all of them are allowed."""

    def __init__(self, allowed: Callable[[Address], bool]) -> None:
        super().__init__()
        self._allowed = allowed

    def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        """Connects."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"the host is not known: {error.strerror}") from error
        addresses = [str(address[0]).partition("%")[0] for *_, address in found]
        for address in addresses:
            if not self._allowed(ipaddress.ip_address(address)):
                message = f'the host "{shorten(host)}" has the address {address}, which is not public'
                raise NotFetched(PRIVATE, message)
        return super().connect_tcp(addresses[0], port, *arguments, **options)
