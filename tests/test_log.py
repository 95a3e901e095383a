"""Logs: one line an event, whatever is in it."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon import log as logs

SOURCE = Path(logs.__file__).parent


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)


def test_an_event_is_time_level_logger_event_and_its_extras(stream: io.StringIO) -> None:
    logs.setup(stream=stream)
    logging.getLogger("kaon.agent").info("repaired", extra={"row": "port/1", "after": 0.5, "why": "was gone"})
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info kaon\.agent repaired row=port/1 after=0\.5 why="was gone"\n',
        stream.getvalue(),
    )


@pytest.mark.parametrize("value", ["a\nb", 'say "hi"', "a=b", "", "\x1b[31m", "a\u2028b", "x\ry"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_breaks_the_line_or_forges_a_field(stream: io.StringIO, form: str, value: str) -> None:
    logs.setup(form=form, stream=stream)
    logging.getLogger("kaon.api").warning("refused %s", value, extra={"user": value})
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["user"] == value
    else:
        assert line.endswith(f" user={json.dumps(value)}")


def test_an_exception_is_a_summary_and_at_debug_its_traceback_too(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("bad\nthing")

    for level in ("info", "debug"):
        logs.setup(level=level, stream=stream)
        try:
            fail()
        except ValueError:
            logging.getLogger("kaon.api").exception("failed")
    brief, long = stream.getvalue().splitlines()
    assert 'error="ValueError: bad\\nthing"' in brief
    assert "test_log.py:" in brief
    assert "Traceback" not in brief
    assert "Traceback" in long


def test_levels_below_the_chosen_one_are_silent(stream: io.StringIO) -> None:
    logs.setup(level="warning", stream=stream)
    logging.getLogger("kaon.api").info("nobody reads this")
    assert stream.getvalue() == ""


def test_no_extra_in_the_source_has_a_name_that_logging_refuses() -> None:
    """logging raises KeyError for an extra called as an attribute of its own, at the moment the event happens."""
    reserved = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                names = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                found += [f"{path.relative_to(SOURCE)}:{node.value.lineno}: {name}" for name in names & reserved]
    assert found == []
