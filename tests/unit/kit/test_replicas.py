"""Whether a replica of the same machine is dead."""

import os
import subprocess
import sys

import pytest
from visiontune_kit import replicas


def name_with(process_id: int) -> str:
    place, _, random = replicas.new_name().rsplit("/", 2)
    return f"{place}/{process_id}/{random}"


def test_a_living_process_is_not_dead() -> None:
    assert not replicas.is_dead(replicas.new_name())


def test_a_process_that_ended_is_dead() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert replicas.is_dead(name_with(ended.pid))


def test_a_process_of_another_user_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_process_id: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not replicas.is_dead(name_with(1))


def test_nothing_is_known_of_processes_elsewhere() -> None:
    assert not replicas.is_dead("another-machine/boot/pid:[1]/999999999/abcd")


def test_names_fit_their_column_and_differ() -> None:
    assert len(replicas.new_name()) <= 200
    assert replicas.new_name() != replicas.new_name()


def test_without_proc_the_host_name_is_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_arguments: object, **_options: object) -> str:
        raise FileNotFoundError

    replicas._place.cache_clear()
    monkeypatch.setattr("pathlib.Path.read_text", absent)
    try:
        assert replicas.new_name().count("/") == 2
        assert not replicas.is_dead(replicas.new_name())
    finally:
        replicas._place.cache_clear()
