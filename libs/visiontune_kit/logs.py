"""Logs as events with fields, carrying trace and project, on standard output."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog
from opentelemetry import trace

from visiontune_kit import identity

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(program: str, *, level: str = "info", format: str = "json") -> None:  # noqa: A002
    """Sets up logging for this process, that of libraries included.

    level: debug, info, warning or error. format: json or console.
    """
    threshold = LEVELS[level.lower()]
    renderer: Any = (
        structlog.processors.JSONRenderer() if format == "json" else structlog.dev.ConsoleRenderer()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))
    # They log every request or statement, URLs with signatures included.
    for noisy in ("httpx", "httpcore", "urllib3", "sqlalchemy.engine", "alembic", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(program=program)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Returns the logger of a module; call it with a past-tense event and its fields."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(name))


def _add_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("trace_id", f"{span.trace_id:032x}")
    principal = identity.current_or_none()
    if principal is not None:
        event.setdefault("project", principal.project)
    return event
