"""Logs as one line an event: `time level logger event key=value ...`, or the same as one JSON object.

The event is a fixed word or sentence; what varies goes into `extra`, where machines find it:
`logging.getLogger("kaon.agent").info("repaired", extra={"row": row, "origin": port_id})`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import IO, Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""Attributes that every record has; what else a record has is its extras."""

_BARE = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""Values that need no quotes: no blanks, quotes, equals signs, or control characters."""

_CHATTY = ("alembic", "asyncio", "httpcore", "httpx", "oslo_policy", "sqlalchemy", "stevedore", "uvicorn")
"""Libraries of which only warnings are wanted, unless everything is (debug)."""


def setup(form: str = "text", level: str = "info", stream: IO[str] | None = None) -> None:
    """Send the events of this process to `stream` (standard error) from `level` up; replaces what was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The extras of a record. An exception becomes `error` and `at`; its traceback is there only at level debug."""
    found = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        error, trace = record.exc_info[1], record.exc_info[2]
        found["error"] = f"{type(error).__name__}: {error}"
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            found["at"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            found["traceback"] = logging.Formatter().formatException(record.exc_info)
    return found


def timestamp(record: logging.LogRecord) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


class TextFormatter(logging.Formatter):
    """For people and grep; a value that is not one plain word is quoted as in JSON, so that an event is one line."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = [f"{key}={_text(value)}" for key, value in fields(record).items()]
        event = _escape_controls(record.getMessage())
        return " ".join([timestamp(record), record.levelname.lower(), record.name, event, *pairs])


class JsonFormatter(logging.Formatter):
    """For machines: one object a line, extras beside `time`, `level`, `logger` and `event`."""

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        return json.dumps(fields(record) | head, default=str)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | dict | list | tuple):
        return json.dumps(value, default=str, separators=(",", ":"))
    word = str(value)
    return word if _BARE.fullmatch(word) else json.dumps(word)


def _escape_controls(event: str) -> str:
    return event if event.isprintable() else json.dumps(event)[1:-1]
