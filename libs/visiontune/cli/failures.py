"""How a command fails: one line that says what, then the places, then what to do next."""

from rich.console import Console
from rich.markup import escape

from visiontune.errors import ApiFailure, Failure, UploadFailed

MOST_PLACES = 20


class Failed(Exception):  # noqa: N818 - raise Failed(...) reads as it means
    """A command could not do what was asked. `next_step` is a command or a hint.

    `reason` is the server's, where it refused: a heading of docs/errors.md.
    """

    def __init__(self, message: str, next_step: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step
        self.reason = reason


def explain(error: Exception, console: Console) -> None:
    """Prints a failure for people, to stderr."""
    console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    for line in _places(error):
        console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
    for line in _next_steps(error):
        console.print(f"[dim]{escape(line)}[/]", soft_wrap=True, highlight=False)


def _places(error: Exception) -> list[str]:
    """One line a violation; those that the message already holds are not said twice."""
    if not isinstance(error, ApiFailure):
        return []
    lines = [f"{v.field}: {v.description}" if v.field else v.description for v in error.violations]
    new = [line for line in lines if line not in error.message]
    more = len(new) - MOST_PLACES
    return [*new[:MOST_PLACES], *([f"… and {more:,} more"] if more > 0 else [])]


def _next_steps(error: Exception) -> list[str]:
    match error:
        case Failed():
            return [*filter(None, [error.next_step, _reason(error.reason)])]
        case UploadFailed(upload=upload):
            return [f"What arrived is kept for a day. Go on with: --resume {upload}"]
        case ApiFailure(reason=reason) if reason:
            return [_reason(reason)]
        case _:
            return []


def _reason(reason: str) -> str:
    return f"reason: {reason}" if reason else ""


EXPECTED = (Failed, Failure)
