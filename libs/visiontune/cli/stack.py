"""`visiontune up`, `down`, `status`, `config`: the stack of this machine."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from visiontune.cli.failures import Failed
from visiontune.cli.progress import seconds, step
from visiontune.cli.session import Output, Session

if TYPE_CHECKING:
    from visiontune_stack.settings import StackSettings

PortOption = Annotated[
    int | None,
    typer.Option(
        min=1024,
        max=55_000,
        help="First port of the stack; VISIONTUNE_PORT, the last one used, or 8700 when absent.",
        show_default=False,
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="json prints nothing else on stdout.")]


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running in the background.")
    ] = False,
    port: PortOption = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait until it is ready.")] = 120.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start every program on this machine; find them when they run already.

    Without --detach it stays in front and Ctrl-C stops everything.
    """
    from visiontune_stack import control

    session = Session(output=output)
    with _stack_errors():
        settings = _settings(port)
        started = bring_up(session, settings, detach=detach, timeout_s=timeout_s)
        if session.is_json:
            session.raw(asdict(control.status(settings)))
        else:
            report_up(session, settings, already=started is None)
        if started is not None and not detach:
            _stay(started)


def ensure_up(session: Session) -> None:
    """Starts the stack in the background unless it runs, and says where it is."""
    with _stack_errors():
        settings = _settings(None)
        started = bring_up(session, settings, detach=True)
        report_up(session, settings, already=started is None)


def bring_up(
    session: Session, settings: "StackSettings", *, detach: bool, timeout_s: float = 120.0
) -> "subprocess.Popen[bytes] | None":
    """Starts the stack unless it runs, and waits until it answers."""
    from visiontune_stack import control

    started = control.start(settings, detach=detach)
    try:
        with step(session.err, "Starting" if started else "Looking"):
            control.wait_ready(settings, started, timeout_s)
    except KeyboardInterrupt:
        if started is not None:
            control.stop(settings)
        raise
    return started


def report_up(session: Session, settings: "StackSettings", *, already: bool) -> None:
    """Says where everything is."""
    from visiontune_stack import control

    url, home = control.status(settings).url, settings.layout
    session.say(f"VisionTune {'already runs' if already else 'runs'} at [bold]{url}[/]")
    session.say(f"  API key   {home.api_key}\n  logs      {home.logs}/\n  stop      visiontune down")


def down(output: OutputOption = Output.TEXT) -> None:
    """Stop every program, workers included. Data stays; jobs go on at the next `up`."""
    from visiontune_stack import control

    session = Session(output=output)
    with _stack_errors():
        settings = _settings(None)
        with step(session.err, "Stopping"):
            stopped = control.stop(settings)
    if session.is_json:
        session.raw(asdict(control.status(settings)))
    else:
        session.say("Stopped." if stopped else "Nothing ran.")


def status(output: OutputOption = Output.TEXT) -> None:
    """Show what runs. The exit code is 1 when the stack does not run or is not ready."""
    from visiontune_stack import control

    session = Session(output=output)
    with _stack_errors():
        found = control.status(_settings(None))
    if session.is_json:
        session.raw(asdict(found))
    elif not found.running:
        session.say(f"No stack runs from {found.home}. Start it: visiontune up --detach")
    else:
        ready = "ready" if found.ready else "[yellow]not ready[/]"
        session.say(f"VisionTune {found.version} at [bold]{found.url}[/], {ready}; state in {found.home}")
        session.table(
            ["PROGRAM", "STATE", "PID", "UP", "RESTARTS", "LAST END"],
            (
                [p.name, p.state, str(p.pid or "-"), seconds(p.uptime_s), str(p.restarts), p.last_end or "-"]
                for p in found.programs
            ),
            empty="No programs yet.",
        )
        for pid in found.worker_pids:
            session.say(f"worker {pid}")
    if not found.ready:
        raise typer.Exit(1)


def config(output: OutputOption = Output.TEXT) -> None:
    """Print every setting with its value, where the value comes from, and what it means."""
    from visiontune_stack import explain

    session = Session(output=output)
    with _stack_errors():
        rows = explain.settings_table(_settings(None))
    if session.is_json:
        session.raw([asdict(row) for row in rows])
        return
    for row in rows:
        session.say(f"[bold]{row.name}[/]={escape(row.value)}  [cyan]{row.source}[/]")
        session.say(f"  [dim]{escape(row.description)}[/]")


def _settings(port: int | None) -> "StackSettings":
    """Raises Failed when the stack is not installed or a setting is wrong."""
    try:
        from visiontune_stack.settings import StackSettings
    except ImportError as error:
        raise Failed(
            "The programs are not installed here.", 'Install them: pip install "visiontune[stack]"'
        ) from error
    from pydantic import ValidationError

    given: dict[str, Any] = {} if port is None else {"port": port}
    try:
        return StackSettings(**given)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise Failed("Settings are wrong: " + "; ".join(lines), "See: visiontune config --help") from error


@contextlib.contextmanager
def _stack_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        from visiontune_stack.errors import StackFailure

        if isinstance(error, StackFailure):
            raise Failed(str(error)) from error
        raise


def _stay(supervisor: "subprocess.Popen[bytes]") -> None:
    """Waits in front; Ctrl-C has reached the supervisor too, and a SIGTERM is passed on."""
    signal.signal(signal.SIGTERM, lambda number, _frame: supervisor.send_signal(number))
    while True:
        try:
            sys.exit(min(supervisor.wait(), 1))
        except KeyboardInterrupt:
            continue
