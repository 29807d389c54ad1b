"""How much of small files a server holds."""

import hashlib

import pytest
from visiontune_storage.domain.failures import (
    DigestMismatch,
    FileEmpty,
    SizeMismatch,
    TooLargeForOneCall,
    TooMuchInFlight,
)
from visiontune_storage.domain.in_flight import ArrivingFile, InFlight

HELLO = b"hello"
SHA256 = hashlib.sha256(HELLO).hexdigest()


def test_all_files_together_stay_below_the_limit_and_free_their_room() -> None:
    everything = InFlight(10)
    with everything.file(8) as one, everything.file(8) as two:
        one.add(b"1234567")
        two.add(b"123")
        with pytest.raises(TooMuchInFlight):
            two.add(b"4")
        assert bytes(two.content) == b"123"
    assert everything.held_bytes == 0
    with pytest.raises(TooMuchInFlight), everything.file(20) as three:
        three.add(bytes(11))
    assert everything.held_bytes == 0


def test_one_file_stays_below_its_own() -> None:
    with InFlight(10).file(5) as file:
        file.add(HELLO)
        with pytest.raises(TooLargeForOneCall, match="is above 5"):
            file.add(b"!")


@pytest.mark.parametrize("size_bytes", [0, 5])
def test_what_was_declared_is_what_arrived(size_bytes: int) -> None:
    ArrivingFile(InFlight(9), 9, bytearray(HELLO)).check("a", size_bytes, SHA256)


@pytest.mark.parametrize(
    ("content", "size_bytes", "failure"),
    [
        (b"", 0, FileEmpty),
        (b"", 5, SizeMismatch),
        (b"hell", 5, SizeMismatch),
        (b"hell", 0, DigestMismatch),
        (b"hallo", 5, DigestMismatch),
    ],
)
def test_everything_else_is_refused(content: bytes, size_bytes: int, failure: type[Exception]) -> None:
    with pytest.raises(failure):
        ArrivingFile(InFlight(9), 9, bytearray(content)).check("a", size_bytes, SHA256)
