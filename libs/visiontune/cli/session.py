"""What every command that talks to a server shares: who, where, and how to print."""

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from visiontune.cli.failures import Failed

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from visiontune.client import Client

PANEL = "Connection and output"
PIPE_WIDTH = 200


class Output(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="VISIONTUNE_SERVER",
        help="URL of the server; the stack of this machine when empty.",
        rich_help_panel=PANEL,
    ),
]
ApiKeyOption = Annotated[
    str,
    typer.Option(
        "--api-key",
        envvar="VISIONTUNE_API_KEY",
        help="Your key; that of the stack of this machine when empty.",
        rich_help_panel=PANEL,
        show_envvar=True,
    ),
]
ProjectOption = Annotated[
    str,
    typer.Option(
        "--project", envvar="VISIONTUNE_PROJECT", help="The key's own when empty.", rich_help_panel=PANEL
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "--output",
        "-o",
        help="json prints the API's own resource and nothing else on stdout.",
        rich_help_panel=PANEL,
    ),
]


@dataclass
class Session:
    """One run of one command."""

    server: str = ""
    api_key: str = field(default="", repr=False)
    project: str = ""
    output: Output = Output.TEXT
    out: Console = field(default_factory=lambda: console(sys.stdout))
    err: Console = field(default_factory=lambda: console(sys.stderr))

    @functools.cached_property
    def client(self) -> "Client":
        """Connected on first use. Raises Failed when no server or key is known."""
        from visiontune.client import Client
        from visiontune.transport import trace_id_from_environment

        url, key = self.server or _stack_url(), self.api_key or _stack_key()
        return Client(
            url,
            key,
            project=self.project,
            trace_id=trace_id_from_environment(),
            known_to_run=not self.server and _stack_is_supervised(),
            on_wait=lambda why: self.err.print(f"[dim]Waiting: {escape(why)}[/]", soft_wrap=True),
        )

    @property
    def is_json(self) -> bool:
        """True when stdout belongs to a program."""
        return self.output is Output.JSON

    @property
    def live(self) -> bool:
        """True when a person watches stderr."""
        return self.err.is_terminal

    @property
    def people(self) -> Console:
        """Where people read: never stdout when that belongs to a program."""
        return self.err if self.is_json else self.out

    def say(self, text: str) -> None:
        """A line for people about what goes on."""
        self.people.print(text, soft_wrap=True)

    def resource(self, message: "Message") -> None:
        """Prints one resource as the API gives it."""
        from google.protobuf.json_format import MessageToDict

        self.raw(MessageToDict(message))

    def resources(self, messages: "Iterable[Message]") -> None:
        """Prints several resources as one JSON list."""
        from google.protobuf.json_format import MessageToDict

        self.raw([MessageToDict(message) for message in messages])

    def raw(self, data: Any) -> None:
        """Prints JSON to stdout."""
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def line(self, message: "Message") -> None:
        """Prints one message of a stream as one line of JSON."""
        from google.protobuf.json_format import MessageToDict

        sys.stdout.write(json.dumps(MessageToDict(message), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]], empty: str) -> None:
        """Prints rows, or what to do when there are none."""
        shown = [list(row) for row in rows]
        if not shown:
            self.say(empty)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, column in enumerate(columns):
            # The first says which; it is what people copy.
            table.add_column(column, overflow="fold", no_wrap=place == 0)
        for row in shown:
            table.add_row(*row)
        self.people.print(table)


def console(stream: TextIO) -> Console:
    """Where people read. A file or a pipe has no edge at which lines should be broken."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=stream, highlight=False, width=width)


def talks(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its Session as first argument, and the options that fill it."""
    own = list(inspect.signature(function).parameters.values())[1:]
    shared = list(inspect.signature(Session_).parameters.values())

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        session = Session(**{parameter.name: arguments.pop(parameter.name) for parameter in shared})
        function(session, **arguments)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *shared]]
    command.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined] # typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return command


def Session_(  # noqa: N802 (only its signature is used)
    server: ServerOption = "",
    api_key: ApiKeyOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """The options that every talking command has."""


def home() -> Path:
    """VISIONTUNE_HOME."""
    return Path(os.environ.get("VISIONTUNE_HOME", "~/.visiontune")).expanduser().resolve()


def _stack_url() -> str:
    try:
        return str(json.loads((home() / "stack.json").read_text("utf-8"))["url"])
    except (OSError, ValueError, KeyError) as error:
        raise Failed(
            "No server is known.", "Start one: visiontune up --detach, or name one: --server URL"
        ) from error


def _stack_is_supervised() -> bool:
    """True while somebody starts the programs of this machine again when they die."""
    try:
        os.kill(int(json.loads((home() / "stack.json").read_text("utf-8"))["supervisor"]["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _stack_key() -> str:
    try:
        return (home() / "api-key").read_text("utf-8").strip()
    except OSError as error:
        raise Failed("No API key is known.", "Set VISIONTUNE_API_KEY, or pass --api-key KEY") from error
