"""Runs `visiontune …` in a process of its own that need not import everything first: 0.1 s instead of 0.8 s.

A server that has imported the command forks for each call; what runs there is the same `main`, with its own
arguments, environment and output. How an interpreter starts and ends is not seen here: no import is missing,
no thread is waited for. The installed script itself is run where stacks start and stop.
"""

import atexit
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

# What commands import when they run.
LOADED = (
    "anyio",
    "httpcore",
    "rich.progress",
    "typer.rich_utils",
    "visiontune.cli",
    "visiontune.client",
    "visiontune_kit.settings",
    "visiontune_stack.control",
)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run of the installed script, capturing text. Safe to use from several threads."""
    request = json.dumps([["visiontune", *arguments], dict(environment), str(Path.cwd())])
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(_server()))
        # The descriptors come with the first byte.
        socket.send_fds(connection, [b"\n"], [out.fileno(), err.fileno()])
        connection.settimeout(timeout_s)
        with connection.makefile("rw", encoding="utf-8") as lines:
            lines.write(f"{request}\n")
            lines.flush()
            pid = int(lines.readline())
            try:
                code = lines.readline()
            except TimeoutError as error:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout_s) from error
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(arguments), int(code or "-9"), out.read(), err.read())


@cache
def _server() -> Path:
    """The socket of this process's server, which ends with it."""
    folder = tempfile.TemporaryDirectory(prefix="visiontune-cli-")
    path = Path(folder.name) / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(folder.cleanup)
    atexit.register(process.communicate)  # which closes its input
    return path


def _serve(path: str) -> None:
    """Forks for each connection until its input is closed."""
    for name in LOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _answer(connection)


def _answer(connection: socket.socket) -> None:
    """Runs one command and tells its exit code; never returns."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
    lines = connection.makefile("rw", encoding="utf-8")
    print(os.getpid(), file=lines, flush=True)
    arguments, environment, folder = json.loads(lines.readline())
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *descriptors)):
        os.dup2(descriptor, number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = arguments
    sys.modules["__main__"].__package__ = ""  # or its name is given for that of the program
    code = _exit_code()
    sys.stdout.flush()
    sys.stderr.flush()
    print(code, file=lines, flush=True)
    os._exit(code)


def _exit_code() -> int:
    from visiontune.cli import main  # noqa: PLC0415 (as the server did)

    try:
        main()
    except SystemExit as asked:
        return asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:  # noqa: BLE001 (as the interpreter would)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])
