import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from visiontune_stack import logs, process, state
from visiontune_stack.ports import is_free
from visiontune_stack.process import Process
from visiontune_stack.settings import StackSettings
from visiontune_stack.state import ProgramState, StackState
from visiontune_stack.supervisor import backoff_s
from visiontune_stack.workers import running_workers, stop_workers


def test_restarts_come_ever_later_but_never_too_late() -> None:
    pauses = [backoff_s(failures) for failures in range(1, 12)]
    assert pauses[0] <= 0.5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10.0


def test_a_log_is_rotated_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with logs.open_for(path) as writer:
        for round_ in range(5):
            writer.write(b"x" * 100 + str(round_).encode())
            assert logs.rotate(path, 50)
        writer.write(b"after")
    assert path.read_bytes() == b"after"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert path.with_name("a.log.1").read_bytes().endswith(b"4")
    assert not logs.rotate(path, 50)
    assert not logs.rotate(tmp_path / "none.log", 50)


def test_the_tail_is_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("\n".join(str(number) for number in range(100)))
    assert logs.tail(path, 2) == "98\n99"
    assert logs.tail(tmp_path / "none.log") == ""


def test_state_survives_writing_and_reading(tmp_path: Path) -> None:
    programs = {
        "storage": ProgramState(Process(7, "s"), 1.5, 2, "d", "killed"),
        "dataset": ProgramState(None, 0, 0, "e"),
    }
    written = StackState("http://x", 8700, "0.1.0", Process(1, "t"), programs)
    state.write(tmp_path / "stack.json", written)
    assert state.read(tmp_path / "stack.json") == written


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"url": "x"}', '{"url":"x","port":"y","version":"","supervisor":null,"programs":[]}'],
)
def test_a_state_that_nobody_understands_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stack.json"
    assert state.read(path) is None
    path.write_text(text)
    assert state.read(path) is None


def test_a_process_is_not_taken_for_another_with_its_pid() -> None:
    me = process.find(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Process(os.getpid(), "another start").alive()


def test_a_dead_process_is_dead_although_nobody_collected_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    found = Process(child.pid, process.start_time(child.pid) or "gone already")
    assert process.wait_for(lambda: not found.alive(), 10)
    child.wait()


def test_a_process_that_ignores_the_request_is_killed_after_the_grace() -> None:
    ignore = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}; print('up', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    found = process.find(child.pid)
    assert found is not None
    started = time.monotonic()
    process.stop_all([found], 0.3, reap=lambda: (child.poll(), None)[1])
    assert child.wait() == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - started < 5
    child.stdout.close()


def test_workers_are_found_by_their_run_files_and_stopped(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the local backend runs on Linux")
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    folder = tmp_path / "workers" / "p.j.1"
    folder.mkdir(parents=True)
    (folder / "run").write_text(Path(f"/proc/{child.pid}/stat").read_text())
    stale = tmp_path / "workers" / "p.j.2"
    stale.mkdir()
    (stale / "run").write_text(f"{os.getpid()} (python) S " + "1 " * 40)
    (tmp_path / "workers" / "p.j.3").mkdir()
    (tmp_path / "workers" / "p.j.3" / "run").write_text("nonsense")
    assert [worker.pid for worker in running_workers(tmp_path)] == [child.pid]
    assert stop_workers(tmp_path, 5.0) == 1
    assert child.wait() == -signal.SIGTERM


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_settings_come_from_the_environment_then_the_file_then_the_last_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISIONTUNE_HOME", str(tmp_path))
    monkeypatch.delenv("VISIONTUNE_PORT", raising=False)
    assert StackSettings().port == 8700
    state.write(tmp_path / "stack.json", StackState("http://x", 9000, "0", None))
    assert StackSettings().port == 9000
    (tmp_path / "config.toml").write_text('port = 9100\n[environment]\nVISIONTUNE_LOG_LEVEL = "debug"\n')
    assert StackSettings().port == 9100
    assert StackSettings().environment == {"VISIONTUNE_LOG_LEVEL": "debug"}
    monkeypatch.setenv("VISIONTUNE_PORT", "9200")
    assert StackSettings().port == 9200
    assert StackSettings(port=9300).port == 9300
