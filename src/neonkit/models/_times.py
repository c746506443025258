"""Times: aware, kept and given in UTC."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError


def _read(given: object, parse: ValidatorFunctionWrapHandler) -> datetime:
    if isinstance(given, datetime) and given.tzinfo is UTC:
        return given  # as the database's come: thousands in a page
    if not isinstance(given, str | datetime) or (isinstance(given, str) and _is_number(given)):
        message = "Input should be a time, as 2026-01-31T12:00:00Z"
        raise PydanticCustomError("datetime_type", message)
    return _to_utc(parse(given))


def _is_number(text: str) -> bool:
    return text.strip().lstrip("+-").replace(".", "", 1).isdecimal()


def _to_utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise PydanticCustomError("timezone_aware", "Input should have an offset, such as Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "datetime_range", "Input should be within the years 1 to 9999 in UTC"
        ) from None


UtcDateTime = Annotated[datetime, WrapValidator(_read)]
"""An aware time. No offset, a number, or a time outside of the years 1 to 9999 is refused; what has
an offset is turned into UTC. In a table it is `timestamptz`, in JSON RFC 3339 with `Z`."""
