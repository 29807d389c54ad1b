"""Runs Python programs in processes that need not import everything first: a server forks for each.

    socket = warm.server("visiontune.cli")        # has it imported
    warm.run(socket, "visiontune.cli:main", …)     # as subprocess.run
    warm.python(socket, folder)                    # an executable that stands for this Python

What runs is the same code, with its own arguments, environment, output, process and exit code. How an
interpreter starts is not seen: no import is missing, and variables that libraries read as they are imported
are those of the server (`python` runs the real one where they differ).
"""

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

# What libraries read when they are imported.
READ_AT_IMPORT = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TORCH_", "OMP_", "MKL_", "PYTHON", "LD_")
# Asks the server for a process, passes signals on to it, and ends as it does.
_PYTHON = """#!{executable} -IS
import json, os, signal, socket, sys
own = {{k: v for k, v in os.environ.items() if k.startswith({read_at_import})}}
if sys.argv[1:2] != ["-m"] or own != {served}:
    os.execv({executable!r}, [{executable!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
socket.send_fds(server, [b"\\n"], [0, 1, 2])
request = [sys.argv[2], sys.argv[2:], dict(os.environ), os.getcwd()]
server.sendall(json.dumps(request).encode() + b"\\n")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _: server.send(bytes([number])))
answers = server.makefile()
answers.readline()
code = int(answers.readline() or -9)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@cache
def server(*modules: str) -> Path:
    """The socket of a server that has imported these, or is about to; it ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="visiontune-warm-")
    path = Path(folder.name) / "socket"
    command = [sys.executable, "-m", __name__, str(path), *modules]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as the worker sets before torch loads
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(folder.cleanup)
    atexit.register(process.communicate)  # which closes its input
    return path


def run(
    path: Path, program: str, arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run, capturing text. program: `module`, or `module:function`. Safe in several threads."""
    request = json.dumps([program, arguments, dict(environment), str(Path.cwd())])
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(path))
        # The descriptors come with the first byte.
        with Path(os.devnull).open() as nothing:
            socket.send_fds(connection, [b"\n"], [nothing.fileno(), out.fileno(), err.fileno()])
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


def python(path: Path, folder: Path) -> Path:
    """An executable in the folder: for `-m module` a process of the server, else this Python."""
    made = folder / "python"
    served = {name: value for name, value in os.environ.items() if name.startswith(READ_AT_IMPORT)}
    made.write_text(
        _PYTHON.format(
            executable=sys.executable, path=str(path), read_at_import=READ_AT_IMPORT, served=served
        )
    )
    made.chmod(0o755)
    return made


def _serve(path: str, modules: Sequence[str]) -> None:
    """Forks for each connection until its input is closed. Who comes while it imports has to wait."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        for name in modules:
            importlib.import_module(name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _answer(connection)


def _answer(connection: socket.socket) -> None:
    """Forks the program, tells its pid and how it ends, and kills it when nobody listens; never returns."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    request = b""
    while not request.endswith(b"\n"):
        request += connection.recv(1 << 16)
    program, arguments, environment, folder = json.loads(request)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        connection.close()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = arguments
        _end(program)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(f"{pid}\n".encode())
    process = os.pidfd_open(pid)
    while process not in select.select([connection, process], [], [])[0]:
        numbers = connection.recv(16)
        for number in numbers:
            os.kill(pid, number)
        if not numbers:
            os.killpg(pid, signal.SIGKILL)
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _end(program: str) -> None:
    """Runs the program and ends this process as the interpreter would."""
    code = 120  # as the interpreter's where its own end fails
    try:
        code = _exit_code(program)
        threading._shutdown()  # type: ignore[attr-defined]  # comes before exit functions
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    finally:
        os._exit(code)


def _exit_code(program: str) -> int:
    module, _, function = program.partition(":")
    try:
        if function:
            sys.modules["__main__"].__package__ = ""  # or its name is given for that of the program
            getattr(importlib.import_module(module), function)()
        else:
            sys.modules.pop(module, None)  # or it warns that there are two
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as asked:
        if asked.code is not None and not isinstance(asked.code, int):
            print(asked.code, file=sys.stderr)
        return asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:  # noqa: BLE001 (as the interpreter would)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2:])
