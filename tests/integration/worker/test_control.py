"""The messages between ranks, over loopback: what is exchanged, and how one's end becomes the end of all."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol

import pytest
from visiontune_worker import control
from visiontune_worker.control import Follower, Leader, ending_from, ending_to, strongest
from visiontune_worker.faults import (
    Cancelled,
    DataFault,
    Ending,
    EnvironmentFault,
    Exit,
    PassingFault,
    Paused,
    Preempted,
    Stale,
)
from visiontune_worker.interrupts import Interrupts

HOST = socket.gethostname()


def unexpected(ending: Ending) -> None:
    raise AssertionError(ending)


@contextmanager
def leading(
    ranks: int,
    renew: Callable[[], Any] = lambda: None,
    on_stuck: Callable[[Ending], None] = unexpected,
) -> Iterator[Leader]:
    leader = Leader(ranks, everywhere=True, interrupts=Interrupts(), renew=renew, on_stuck=on_stuck)
    with closing(leader):
        yield leader


class Follow(Protocol):
    def __call__(
        self, leader: Leader, rank: int, interrupts: Interrupts | None = None, on_stuck: Any = unexpected
    ) -> Follower: ...


@pytest.fixture
def follow() -> Iterator[Follow]:
    with ExitStack() as stack:

        def follow(
            leader: Leader, rank: int, interrupts: Interrupts | None = None, on_stuck: Any = unexpected
        ) -> Follower:
            follower = Follower(
                rank, "127.0.0.1", leader.address, interrupts=interrupts or Interrupts(), on_stuck=on_stuck
            )
            return stack.enter_context(closing(follower))

        yield follow


def in_background(work: Callable[[], Any]) -> Any:
    return ThreadPoolExecutor(1).submit(work)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_rank_gets_what_all_gave_in_their_order(follow: Follow) -> None:
    with leading(3) as leader, ThreadPoolExecutor() as pool:
        others = [follow(leader, rank) for rank in (2, 1)]
        for turn in range(50):
            given = [pool.submit(each.exchange, [each.rank, turn]) for each in others]
            assert leader.exchange([0, turn]) == [[0, turn], [1, turn], [2, turn]]
            assert all(each.result() == [[0, turn], [1, turn], [2, turn]] for each in given)
        for each in others:
            each.leave()
            each.close()


def test_a_fault_of_one_rank_ends_all_and_names_it(follow: Follow) -> None:
    with leading(3) as leader:
        first, second = follow(leader, 1), follow(leader, 2)
        ended = in_background(lambda: second.conclude(DataFault("IMAGE_BROKEN", "Example 'a' is broken.")))
        with pytest.raises(DataFault) as heard:
            leader.exchange(None)
        assert str(heard.value) == f"Rank 2 ({HOST}): Example 'a' is broken."
        with pytest.raises(DataFault):
            first.exchange(None)
        # Nobody leaves before rank 0 has told the trainer.
        told = leader.conclude(heard.value)
        assert not ended.done()
        leader.close()
        assert (told.exit_code, ended.result(10).exit_code) == (Exit.DATA, Exit.DATA)


def test_a_rank_that_vanishes_is_named_and_who_is_stuck_is_ended(
    monkeypatch: pytest.MonkeyPatch, follow: Follow
) -> None:
    monkeypatch.setattr(control, "STUCK_S", 0.2)
    stuck: list[Ending] = []
    with leading(3, on_stuck=stuck.append) as leader:
        first, second = follow(leader, 1), follow(leader, 2)
        wait_until(lambda: not leader.missing())
        second.close()
        with pytest.raises(PassingFault, match=rf"Rank 2 \({HOST}\) ended without a word"):
            leader.exchange(None)
        with pytest.raises(PassingFault, match="Rank 2"):
            first.exchange(None)
        first.leave()
        # The main thread of rank 0 does not conclude: another thread does.
        wait_until(lambda: bool(stuck))
        assert isinstance(stuck[0], PassingFault)
        assert stuck[0].reason == "RANK_LOST"


def test_when_rank_0_vanishes_the_others_end(monkeypatch: pytest.MonkeyPatch, follow: Follow) -> None:
    monkeypatch.setattr(control, "STUCK_S", 0.2)
    stuck: list[Ending] = []
    with leading(2) as leader:
        follower = follow(leader, 1, on_stuck=stuck.append)
        wait_until(lambda: not leader.missing())
        leader.close()
        with pytest.raises(PassingFault, match="Rank 0 ended without a word"):
            follower.exchange(None)
        wait_until(lambda: bool(stuck))


def test_a_crash_that_another_rank_caused_is_told_as_what_it_was(follow: Follow) -> None:
    with leading(2) as leader:
        follower = follow(leader, 1)
        wait_until(lambda: not leader.missing())
        threading.Timer(0.3, follower.close).start()
        crash = PassingFault("WORKER_CRASHED", "RuntimeError: Connection closed by peer")
        told = leader.conclude(crash, crashed=True)
        assert isinstance(told, PassingFault)
        assert told.reason == "RANK_LOST"


def test_an_agreed_order_is_not_told_twice_and_waits_for_rank_0(follow: Follow) -> None:
    with leading(2) as leader:
        follower = follow(leader, 1)
        order = Preempted("Rank 1: signal SIGTERM")
        ended = in_background(lambda: follower.conclude(order, agreed=True))
        time.sleep(0.3)
        # Rank 0 goes on to save, undisturbed.
        assert not ended.done()
        assert leader.conclude(order) is order
        leader.close()
        assert ended.result(10).exit_code == Exit.RETRY


def test_a_rank_that_comes_late_hears_the_end(follow: Follow) -> None:
    with leading(2) as leader:
        ended = in_background(lambda: leader.conclude(Stale("another attempt has taken over")))
        time.sleep(0.1)
        follower = follow(leader, 1)
        with pytest.raises(Stale):
            follower.exchange(None)
        assert isinstance(ended.result(10), Stale)


def test_who_has_left_is_not_missed(follow: Follow) -> None:
    with leading(2) as leader:
        follower = follow(leader, 1)
        wait_until(lambda: not leader.missing())
        follower.leave()
        follower.close()
        time.sleep(0.3)
        crash = PassingFault("TRAINER_UNAVAILABLE", "away")
        assert leader.conclude(crash) is crash


def test_a_stranger_is_not_heard() -> None:
    with leading(2) as leader:
        stranger = Follower(
            1,
            "127.0.0.1",
            leader.address.replace('"secret": "', '"secret": "x'),
            interrupts=Interrupts(),
            on_stuck=unexpected,
        )
        stranger.conclude(DataFault("NO", "no"))
        assert leader.missing() == [1]


def test_fresh_urls_come_by_way_of_rank_0(follow: Follow) -> None:
    with leading(2, renew=lambda: {"shards": 3}) as leader:
        follower = follow(leader, 1)
        assert follower.renew() == {"shards": 3}
        follower.leave()
        follower.close()


def test_when_rank_0_cannot_renew_all_end(follow: Follow) -> None:
    def refused() -> Any:
        raise EnvironmentFault("TRAINER_REFUSED", "no")

    with leading(2, renew=refused) as leader:
        follower = follow(leader, 1)
        with pytest.raises(EnvironmentFault):
            follower.renew()
        with pytest.raises(EnvironmentFault):
            leader.exchange(None)


def test_who_waits_can_be_told_to_stop() -> None:
    interrupts = Interrupts()
    interrupts.hear(Preempted("signal SIGTERM"))
    with leading(2) as leader, pytest.raises(Preempted):
        leader.exchange(None, interrupts.check)


@pytest.mark.parametrize(
    "ending", [DataFault("IMAGE_BROKEN", "it is"), Preempted("go"), Paused("by a user"), Stale("gone")]
)
def test_an_ending_survives_the_way(ending: Ending) -> None:
    there = ending_from(ending_to(ending))
    assert (type(there), str(there), there.exit_code) == (type(ending), str(ending), ending.exit_code)
    assert getattr(there, "reason", "") == getattr(ending, "reason", "")


def test_the_strongest_order_counts_and_names_its_rank() -> None:
    heard = [ending_to(Preempted("now")), None, ending_to(Cancelled("by a user"))]
    found = strongest(heard, "Rank {}".format)
    assert (type(found), str(found)) == (Cancelled, "Rank 2: by a user")
    assert strongest([None, None], str) is None
