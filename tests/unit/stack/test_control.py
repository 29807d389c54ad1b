"""Starting, stopping and looking, without the programs."""

import os
from pathlib import Path

import pytest
from visiontune_stack import control, state
from visiontune_stack.errors import DidNotStart, StackFailure
from visiontune_stack.process import Process, find
from visiontune_stack.settings import StackSettings
from visiontune_stack.state import ProgramState, StackState

from tests.support.scripted_http import Answer, as_json, scripted


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    monkeypatch.setenv("VISIONTUNE_HOME", str(tmp_path))
    made = StackSettings()
    made.layout.create()
    return made


def running_at(url: str, settings: StackSettings, *, gateway: bool = True) -> None:
    """Writes a state whose supervisor, and gateway if wanted, is this very process."""
    programs = {"trainer": ProgramState(None, 0.0, 4, "d", "ended with exit code 1")}
    if gateway:
        programs["gateway"] = ProgramState(find(os.getpid()), 0.0, 0, "d", "")
    state.write(settings.layout.state, StackState(url, 1, "0", find(os.getpid()), programs))


def test_a_gateway_that_answers_is_ready(settings: StackSettings) -> None:
    with scripted(lambda _seen: as_json({"status": "SERVING", "services": {}})) as server:
        running_at(server.url, settings)
        assert control.wait_ready(settings, None, 5).url == server.url
        assert control.status(settings).ready


def test_the_gateway_of_another_stack_is_not_taken_for_ours(settings: StackSettings) -> None:
    with scripted(lambda _seen: as_json({"status": "SERVING", "services": {}})) as server:
        running_at(server.url, settings, gateway=False)
        with pytest.raises(DidNotStart, match="gateway"):
            control.wait_ready(settings, None, 0.3)


@pytest.mark.usefixtures("dead_proxy")
def test_the_gateway_is_not_asked_through_a_proxy() -> None:
    with scripted(lambda _seen: as_json({"status": "SERVING", "services": {}})) as server:
        assert control.unready(server.url) == []


def test_what_is_not_ready_in_time_is_named_with_its_end_and_its_log(settings: StackSettings) -> None:
    services = {"storage": "SERVING", "trainer": "UNREACHABLE"}
    heard: list[list[str]] = []
    with scripted(lambda _seen: as_json({"services": services}, 503)) as server:
        running_at(server.url, settings)
        with pytest.raises(DidNotStart) as caught:
            control.wait_ready(settings, None, 0.3, heard.append)
    assert "Not ready after 0 s: trainer." in str(caught.value)
    assert f"trainer ended with exit code 1; its log is {settings.layout.log_of('trainer')}" in str(
        caught.value
    )
    assert heard[0] == ["trainer"]


@pytest.mark.parametrize("answer", [Answer(503, b"<html>"), as_json([], 503), as_json({"services": {}}, 503)])
def test_an_unready_answer_of_any_form_is_unready(answer: Answer) -> None:
    with scripted(lambda _seen: answer) as server:
        assert control.unready(server.url) == ["gateway"]
    assert control.unready(server.url) == ["gateway"]


def test_a_supervisor_that_cannot_start_is_quoted(settings: StackSettings) -> None:
    settings.layout.log_of("stack").write_text("2026 noise\nerror: Port 1 is taken.\n")

    class Ended:
        @staticmethod
        def poll() -> int:
            return 1

    with pytest.raises(StackFailure, match=r"^Port 1 is taken\.$"):
        control.wait_ready(settings, Ended(), 5)  # type: ignore[arg-type] # a process that has ended


def test_stopping_what_does_not_run_is_harmless_and_forgets_the_dead(settings: StackSettings) -> None:
    assert not control.stop(settings)
    gone = ProgramState(Process(2**22 + 5, "never"), 0.0, 0, "d")
    state.write(settings.layout.state, StackState("http://x", 1, "0", None, {"storage": gone}))
    assert not control.stop(settings)
    assert control.status(settings).programs == []
    assert not control.status(settings).running
