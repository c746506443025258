"""The log: one line per event, whatever is in it, and no password."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.observe import ConsoleFormatter, JsonFormatter, _logs, configure_logging

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=5,
)


def _record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("a.logger").makeRecord(
        "a.logger", logging.INFO, "file.py", 1, message, args, None, extra=extra
    )


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in _logs._CHATTY}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_json_line_holds_the_fields_that_a_record_was_given() -> None:
    """Time in UTC, level, logger, message and every extra field are members of the object."""
    record = _record("%s took %d ms", "GET", 3, request_id="abc", status=200, milliseconds=3.25)
    entry = json.loads(JsonFormatter().format(record))
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "a.logger",
        "message": "GET took 3 ms",
        "request_id": "abc",
        "status": 200,
        "milliseconds": 3.25,
    }


def test_the_timestamp_is_rfc_3339_in_utc() -> None:
    """The timestamp names the record's moment, to the millisecond."""
    record = _record("x")
    record.created = 1_700_000_000.1239
    entry = json.loads(JsonFormatter().format(record))
    assert entry["timestamp"] == "2023-11-14T22:13:20.123Z"
    assert datetime.fromisoformat(entry["timestamp"]).tzinfo is not None


def test_an_exception_is_one_field() -> None:
    """A traceback does not break the line: it is the string `exception`."""
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        record = _record("failed")
        record.exc_info = sys.exc_info()
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ZeroDivisionError: why")


@given(message=st.text(), extra=_VALUES)
def test_any_message_and_any_extra_are_one_line_of_strict_json(message: str, extra: object) -> None:
    """No text, number or nesting breaks the line, or gives what strict JSON refuses."""
    line = JsonFormatter().format(_record("%s", message, extra=extra))
    assert len(line.splitlines()) == 1
    assert line.isascii()
    json.loads(line, parse_constant=pytest.fail)


@given(message=st.text())
def test_a_console_message_is_one_line_without_control_characters(message: str) -> None:
    """No message forges a second line or sends a sequence to the terminal."""
    line = ConsoleFormatter().format(_record("%s", message))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_a_console_traceback_keeps_its_lines_and_loses_escape_sequences() -> None:
    """People get the traceback as Python prints it; a terminal gets no orders from it."""
    try:
        raise ValueError("\x1b[2J\r")
    except ValueError:
        record = _record("failed")
        record.exc_info = sys.exc_info()
    first, *trace = ConsoleFormatter().format(record).split("\n")
    assert first.endswith("failed")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == r"ValueError: \x1b[2J\r"


@pytest.mark.parametrize(
    "text",
    [
        "could not use postgresql://ann:s3cret@db.example/app",
        "could not use postgresql+asyncpg://ann:s3cret@db.example/app?x=1",
        "POSTGRES://ann:s3cret@more@db.example/app",
        "host=db.example password=s3cret dbname=app",
        r"host=db.example password='s3cret it\'s s3cret' dbname=app",
        "postgresql://db.example/app?user=ann&password=s3cret&sslmode=require",
    ],
)
@pytest.mark.parametrize("formatter", [JsonFormatter(), ConsoleFormatter()])
def test_the_password_of_a_database_url_is_masked(formatter: logging.Formatter, text: str) -> None:
    """Whoever logs a connection string logs it without its password, extras and errors too."""
    record = _record("%s", text, url={"of": [text]})
    try:
        raise ValueError(text)
    except ValueError:
        record.exc_info = sys.exc_info()
    line = formatter.format(record)
    assert "s3cret" not in line
    assert "***" in line
    assert "db.example" in line


@pytest.mark.usefixtures("_logging_restored")
def test_every_logger_goes_to_standard_error_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Configured twice, each event is still one line; uvicorn's chatter below warning is none."""
    configure_logging("info", "console")
    configure_logging("info", "json")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("first")
    logging.getLogger("sqlalchemy.engine.Engine").info("SELECT")
    logging.getLogger("notes").info("second")
    logging.getLogger("notes").debug("third")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [json.loads(line)["message"] for line in printed.err.splitlines()] == ["first", "second"]


@pytest.mark.usefixtures("_logging_restored")
def test_an_unknown_level_is_refused() -> None:
    """A level that does not exist is an error that lists the ones that do."""
    with pytest.raises(ValueError, match="debug, info, warning"):
        configure_logging("loud", "json")
