"""Formats log lines: text for people or JSON for programs, with the id of the request, and one line at most for a request.

What clients send is not logged, but for the path of their request, without the secret of a token that was put there by
mistake; control characters in it, as anywhere, are escaped.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson
from uvicorn.logging import DefaultFormatter

from lossmeter.keys.key import without_secrets
from lossmeter.settings import Settings
from lossmeter.telemetry.measures import STAGES
from lossmeter.telemetry.request import request_state

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is worked on, wherever that happens."""

access = logging.getLogger("lossmeter.access")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONGEST_PATH = 512


class JsonFormatter(logging.Formatter):
    """Formats a line as one JSON object: what every line has, what `extra` calls `fields`, and exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(DefaultFormatter):
    """Formats a line as uvicorn formats its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        """Formats the first line; a traceback may follow it."""
        record.message = escape(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Formats a traceback, each line of it indented, so that none can pass for one of the log."""
        return "\n".join("  " + escape(line) for line in super().formatException(ei).split("\n"))


FORMATTERS = {"text": TextFormatter, "json": JsonFormatter}


def configuration(settings: Settings) -> dict[str, Any]:
    """Configures `logging.config`: all loggers alike, ours, those of uvicorn and those of libraries."""
    formatter = f"{__name__}.{FORMATTERS[settings.log_format].__name__}"
    level = settings.log_level.upper()
    handler = {"class": "logging.StreamHandler", "formatter": "line"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        # The two words are those of uvicorn, which looks for them.
        "formatters": {"line": {"()": formatter, "fmt": "%(levelprefix)s %(message)s"}},
        "handlers": {
            "default": handler | {"stream": "ext://sys.stderr"},
            "access": handler | {"stream": "ext://sys.stdout"},
        },
        "root": {"handlers": ["default"], "level": "WARNING"},
        "loggers": {
            "lossmeter": {"level": level},
            "uvicorn": {"level": level},
            access.name: {
                "handlers": ["access"],
                "level": level if settings.access_log else "CRITICAL",
                "propagate": False,
            },
        },
    }


def log_access(scope: MutableMapping[str, Any], status: int, seconds: float, sent: int) -> None:
    """Writes the line of the access log for one request."""
    state = request_state(scope)
    client = scope.get("client") or ("", 0)
    path = without_secrets(bytes(scope.get("raw_path") or b"")[:LONGEST_PATH].decode("ascii", "backslashreplace"))
    fields = {
        "client": client[0],
        "method": scope["method"],
        "path": path,
        "status": status,
        "milliseconds": round(seconds * 1e3, 3),
        "received_bytes": state.received_bytes,
        "sent_bytes": sent,
    }
    if state.stages:
        fields |= {f"{name}_milliseconds": round(took, 3) for name, took in zip(STAGES, state.stages, strict=True)}
    if state.trace_id:
        fields["trace_id"] = state.trace_id
    if state.error_code and status >= 400:
        fields["code"] = state.error_code
    access.info(
        '%s "%s %s" %d %.1f ms %s',
        client[0],
        scope["method"],
        path,
        status,
        seconds * 1e3,
        state.request_id,
        extra={"fields": fields},
    )


def escape(text: str) -> str:
    """Writes out the control characters of a text."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
