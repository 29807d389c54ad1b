"""How the ranks of an attempt speak with each other, apart from tensors: short messages to rank 0 and back.

A collective of torch cannot be interrupted, gives up after minutes, and does not say who is missing. Here
each rank holds one TCP connection to rank 0: its end names whoever died, and who waits can be told to stop.
Messages are JSON, so that nobody on the network can have them executed. See docs/decisions/0009.
"""

import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from visiontune_worker.faults import (
    Cancelled,
    ConfigurationFault,
    DataFault,
    Ending,
    EnvironmentFault,
    Fault,
    PassingFault,
    Paused,
    Preempted,
    Stale,
)
from visiontune_worker.interrupts import Interrupts

LOOK_EVERY_S = 0.2
# Until a process whose peer is lost has to be out of a collective by itself. torchrun's patience is longer.
STUCK_S = 15.0
# How long a rank that failed waits for rank 0 to say so to the trainer.
FAREWELL_S = 60.0
# How long the end of an attempt waits for ranks that are only starting.
LATE_S = 5.0
# How long to wait for the reason of a crash that may be another rank's doing.
REASON_S = 2.0
_KINDS: Mapping[str, type[Ending]] = {
    each.__name__: each
    for each in (
        ConfigurationFault,
        DataFault,
        EnvironmentFault,
        PassingFault,
        Preempted,
        Paused,
        Cancelled,
        Stale,
    )
}


def ending_to(ending: Ending) -> dict[str, str]:
    """An ending as JSON."""
    reason = ending.reason if isinstance(ending, Fault) else ""
    return {"kind": type(ending).__name__, "reason": reason, "message": str(ending)}


def ending_from(told: Mapping[str, str], by: str = "") -> Ending:
    """The ending behind JSON; its message says whose it was, when `by` is given."""
    kind = _KINDS[told["kind"]]
    message = f"{by}: {told['message']}" if by else told["message"]
    return kind(told["reason"], message) if issubclass(kind, Fault) else kind(message)


class Line:
    """What both ends have in common: the one verdict on how all ranks end.

    on_stuck: ends the process. Called from another thread when a peer is lost and the main thread stays in a
    call that cannot be interrupted.
    """

    def __init__(self, interrupts: Interrupts, on_stuck: Callable[[Ending], None]) -> None:
        self._interrupts = interrupts
        self._on_stuck = on_stuck
        self._verdict: Ending | None = None
        self._decided = threading.Event()
        self._concluded = threading.Event()
        self._lock = threading.Lock()

    def _decide(self, ending: Ending) -> Ending:
        """The first ending counts, for all."""
        with self._lock:
            if self._verdict is None:
                self._verdict = ending
                self._interrupts.hear(ending)
                self._decided.set()
            return self._verdict

    def _watch(self) -> None:
        """A peer is gone: the main thread has STUCK_S to conclude by itself."""
        if not self._concluded.wait(STUCK_S) and self._verdict is not None:
            self._concluded.set()
            self._on_stuck(self._verdict)

    def _next(self, inbox: "queue.Queue[Any]", check: Callable[[], None]) -> Any:
        while True:
            if self._verdict is not None:
                raise self._verdict
            with suppress(queue.Empty):
                return inbox.get(timeout=LOOK_EVERY_S)
            check()

    def _reason_of(self, ending: Ending, crashed: bool) -> Ending:
        """The verdict if there is one. A crash may be what another rank's end looks like from here."""
        self._decided.wait(REASON_S if crashed else 0.0)
        return self._verdict or ending


@dataclass(slots=True)
class _Peer:
    """A rank as rank 0 sees it."""

    name: str
    connection: Connection | None = None
    inbox: "queue.Queue[Any]" = field(default_factory=queue.Queue)
    sending: threading.Lock = field(default_factory=threading.Lock)
    leaving: bool = False

    def send(self, message: bytes) -> None:
        """Sends, unless the peer is gone: its reader says so."""
        if self.connection is not None:
            with self.sending, suppress(OSError):
                self.connection.send_bytes(message)


class Leader(Line):
    """Rank 0's end. renew: answers with the manifest with fresh URLs, as JSON."""

    rank = 0

    def __init__(
        self,
        ranks: int,
        *,
        everywhere: bool,
        interrupts: Interrupts,
        renew: Callable[[], Any],
        on_stuck: Callable[[Ending], None],
    ) -> None:
        super().__init__(interrupts, on_stuck)
        self.ranks = ranks
        self._renew = renew
        self._secret = secrets.token_hex(16)
        self._socket = _listen(everywhere)
        self._peers = {rank: _Peer(f"Rank {rank}") for rank in range(1, ranks)}
        threading.Thread(target=self._accept, name="ranks", daemon=True).start()

    @property
    def address(self) -> str:
        """What the others need to know to connect."""
        return json.dumps({"port": self._socket.getsockname()[1], "secret": self._secret})

    def missing(self) -> list[int]:
        """Ranks that have not come yet."""
        return [rank for rank, peer in self._peers.items() if peer.connection is None]

    def name(self, rank: int) -> str:
        """A rank and where it runs."""
        return self._peers[rank].name if rank else "Rank 0"

    def exchange(self, value: Any, check: Callable[[], None] = lambda: None) -> list[Any]:
        """Gives a value and gets those of all ranks, in their order. Waits as long as all live.

        check: called while waiting, may raise. Raises the verdict when the ranks have to end.
        """
        values = [value, *(self._next(peer.inbox, check) for peer in self._peers.values())]
        self._tell({"values": values})
        return values

    def conclude(self, ending: Ending, *, crashed: bool = False) -> Ending:
        """Has all ranks end; says how. They exit when this end is closed."""
        verdict = self._decide(self._reason_of(ending, crashed))
        self._concluded.set()
        self._tell({"verdict": ending_to(verdict)})
        deadline = time.monotonic() + LATE_S
        while self.missing() and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        return verdict

    def close(self) -> None:
        """Lets the others go."""
        self._concluded.set()
        _shut(self._socket)
        for peer in self._peers.values():
            if peer.connection is not None:
                _hang_up(peer.connection)

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._hear, args=(_connection(connected),), daemon=True).start()

    def _hear(self, connection: Connection) -> None:
        peer = self._greet(connection)
        if peer is None:
            connection.close()
            return
        with suppress(EOFError, OSError):
            if self._verdict is not None:
                peer.send(_dumped({"verdict": ending_to(self._verdict)}))
            while True:
                self._take(peer, json.loads(connection.recv_bytes()))
        if not peer.leaving and not self._concluded.is_set():
            self._spread(PassingFault("RANK_LOST", f"{peer.name} ended without a word. Its log may say why."))
            self._watch()

    def _greet(self, connection: Connection) -> _Peer | None:
        """The rank at the other end; None for a stranger, or for a second one of the same number."""
        with suppress(EOFError, OSError, ValueError, KeyError, TypeError):
            hello = json.loads(connection.recv_bytes(4096))
            peer = self._peers[hello["rank"]]
            if peer.connection is None and secrets.compare_digest(hello["secret"], self._secret):
                peer.name = f"Rank {hello['rank']} ({hello['host']})"
                peer.connection = connection
                return peer
        return None

    def _take(self, peer: _Peer, message: Mapping[str, Any]) -> None:
        if "value" in message:
            peer.inbox.put(message["value"])
        elif "ended" in message:
            self._spread(ending_from(message["ended"], by=peer.name))
        elif "leaving" in message:
            peer.leaving = True
        else:
            try:
                peer.send(_dumped({"manifest": self._renew()}))
            except Ending as ending:
                self._spread(ending)

    def _spread(self, ending: Ending) -> None:
        self._tell({"verdict": ending_to(self._decide(ending))})

    def _tell(self, message: Any) -> None:
        dumped = _dumped(message)
        for peer in self._peers.values():
            peer.send(dumped)


class Follower(Line):
    """Every other rank's end."""

    def __init__(
        self,
        rank: int,
        host: str,
        address: str,
        *,
        interrupts: Interrupts,
        on_stuck: Callable[[Ending], None],
    ) -> None:
        """Connects to rank 0 on a host, at the address that it told. OSError when nobody is there."""
        super().__init__(interrupts, on_stuck)
        self.rank = rank
        self._gone = threading.Event()
        self._values: queue.Queue[Any] = queue.Queue()
        self._manifests: queue.Queue[Any] = queue.Queue()
        self._renewing = threading.Lock()
        self._sending = threading.Lock()
        where = json.loads(address)
        self._connection = _connection(socket.create_connection((host, where["port"]), timeout=30.0))
        self._send({"rank": rank, "host": socket.gethostname(), "secret": where["secret"]})
        threading.Thread(target=self._hear, name="ranks", daemon=True).start()

    def exchange(self, value: Any, check: Callable[[], None] = lambda: None) -> list[Any]:
        """As Leader.exchange."""
        self._send({"value": value})
        found: list[Any] = self._next(self._values, check)
        return found

    def renew(self) -> Any:
        """The manifest with fresh URLs, as JSON, by way of rank 0."""
        with self._renewing:
            self._send({"renew": True})
            return self._next(self._manifests, lambda: None)

    def conclude(self, ending: Ending, *, agreed: bool = False, crashed: bool = False) -> Ending:
        """Has all ranks end, and waits until rank 0 has told the trainer; says how.

        agreed: all ranks raised this one at the same step, and rank 0 may have much to save yet.
        """
        self._reason_of(ending, crashed)
        own = self._verdict is None and not agreed
        self._concluded.set()
        if own:
            self._send({"ended": ending_to(ending)})
        self._gone.wait(FAREWELL_S if own else None)
        return self._verdict or ending

    def leave(self) -> None:
        """Says that nothing is left to do for this rank; the attempt goes on without it."""
        self._concluded.set()
        self._send({"leaving": True})

    def close(self) -> None:
        """Hangs up."""
        self._concluded.set()
        _hang_up(self._connection)

    def _send(self, message: Any) -> None:
        with self._sending, suppress(OSError):
            self._connection.send_bytes(_dumped(message))

    def _hear(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._take(json.loads(self._connection.recv_bytes()))
        self._gone.set()
        if not self._concluded.is_set():
            self._decide(PassingFault("RANK_LOST", "Rank 0 ended without a word. Its log may say why."))
            self._watch()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "values" in message:
            self._values.put(message["values"])
        elif "manifest" in message:
            self._manifests.put(message["manifest"])
        else:
            self._decide(ending_from(message["verdict"]))


def strongest(heard: Sequence[Mapping[str, str] | None], name: Callable[[int], str]) -> Ending | None:
    """Of what the ranks heard, the order that all follow; None when nobody heard any."""
    endings = [
        ending_from(told, by=name(rank) if rank else "")
        for rank, told in enumerate(heard)
        if told is not None
    ]
    return max(endings, key=Interrupts.strength, default=None)


def _listen(everywhere: bool) -> socket.socket:
    if not everywhere:
        return socket.create_server(("127.0.0.1", 0))
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    return socket.create_server(("", 0), family=family, dualstack_ipv6=dual)


def _connection(connected: socket.socket) -> Connection:
    """A connection that ends when the other machine is gone, even when it could not say so."""
    connected.settimeout(None)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 40_000)
    return Connection(connected.detach())


def _shut(listening: socket.socket) -> None:
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def _hang_up(connection: Connection) -> None:
    """Ends the conversation, for a reader of ours too; the descriptor goes with the process."""
    with suppress(OSError), socket.socket(fileno=connection.fileno()) as borrowed:
        try:
            borrowed.shutdown(socket.SHUT_RDWR)
        finally:
            borrowed.detach()


def _dumped(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
