"""The Python of warm_worker.py stands for the real one: what goes in and out, signals, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm.python(warm.server("http.server", "json.tool"), tmp_path_factory.mktemp("warm"))


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def server(python: Path, port: int) -> AsyncIterator[subprocess.Popen[str]]:
    command = [str(python), "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: ASYNC220
        await eventually(lambda: listens(port), within_s=20)
        yield process
        process.kill()


@pytest.mark.parametrize(("given", "code"), [("[1]", 0), ("[", 1)])
def test_what_goes_in_and_out_is_that_of_the_real_one(python: Path, given: str, code: int) -> None:
    done, real = (
        subprocess.run(
            [program, "-m", "json.tool", "--compact"],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        for program in (python, sys.executable)
    )
    assert (done.returncode, done.stdout, done.stderr) == (real.returncode, real.stdout, real.stderr)
    assert done.returncode == code


async def test_signals_reach_the_program(server: subprocess.Popen[str], port: int) -> None:
    server.send_signal(signal.SIGINT)
    said, _ = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Keyboard interrupt received" in said
    assert not listens(port)


async def test_one_that_dies_of_a_signal_is_seen_to(server: subprocess.Popen[str], port: int) -> None:
    server.terminate()
    assert server.wait(20) == -signal.SIGTERM
    assert not listens(port)


async def test_one_that_is_killed_leaves_nothing(server: subprocess.Popen[str], port: int) -> None:
    server.kill()
    assert server.wait(20) == -signal.SIGKILL
    await eventually(lambda: not listens(port), within_s=20)


def test_variables_that_are_read_at_import_are_its_own(python: Path) -> None:
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(python.parent)}
    (python.parent / "told.py").write_text("import sys; print(sys.flags.utf8_mode)")
    done = subprocess.run([python, "-m", "told"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
