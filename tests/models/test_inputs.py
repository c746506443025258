"""What clients send is validated; nothing unknown and nothing unstorable gets through."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Field

from neonkit import InputModel, PatchModel, UtcDateTime

times: TypeAdapter[datetime] = TypeAdapter(UtcDateTime)


class Inner(InputModel):
    """Nested input."""

    words: list[str] = Field(default_factory=list)


class Thing(InputModel):
    """Input of several kinds."""

    title: str = Field(min_length=1, max_length=10)
    inner: Inner | None = None
    extra: dict[str, str] = Field(default_factory=dict)


class ThingPatch(PatchModel):
    """The same for PATCH."""

    title: str = Field(min_length=1, max_length=10)
    note: str | None = Field(max_length=10)
    size: int = Field(default=3, ge=1)


def _codes(model: type[InputModel], body: object) -> list[tuple[object, str]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return [(error["loc"][0], error["type"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"title": "a\0"}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"title": "a", "inner": {"words": ["ok", "\0"]}}, "inner"),
        ({"title": "a", "extra": {"k\0": "v"}}, "extra"),
        ({"title": "a", "extra": {"k": "\udfff"}}, "extra"),
    ],
)
def test_text_that_postgres_cannot_hold_is_refused(body: object, location: str) -> None:
    """NUL and lone surrogates are refused at any depth, with the field's name."""
    assert [where for where, _ in _codes(Thing, body)] == [location]


@pytest.mark.parametrize("name", ["id", "role", "_sa_instance_state", "__class__", "metadata"])
def test_unknown_fields_are_refused(name: str) -> None:
    """Nothing can be set that the model does not declare."""
    assert _codes(Thing, {"title": "a", name: 1}) == [(name, "extra_forbidden")]


@given(st.text(min_size=1, max_size=10))
def test_other_text_is_kept_as_it_is(title: str) -> None:
    """What can be stored comes through unchanged, whatever its planes and marks."""
    if "\0" in title:
        return
    assert Thing.model_validate({"title": title}).title == title


def test_unset_null_and_value_are_told_apart() -> None:
    """Only what was sent is a change; null only where the field's type has it."""
    assert ThingPatch.model_validate({}).changes() == {}
    assert ThingPatch.model_validate({"note": None}).changes() == {"note": None}
    assert ThingPatch.model_validate({"title": "a"}).changes() == {"title": "a"}
    assert _codes(ThingPatch, {"title": None}) == [("title", "string_type")]
    assert _codes(ThingPatch, {"size": None}) == [("size", "int_type")]
    assert _codes(ThingPatch, {"title": ""}) == [("title", "string_too_short")]
    assert _codes(ThingPatch, {"id": 1}) == [("id", "extra_forbidden")]


def test_a_patch_sets_what_was_sent_and_nothing_else() -> None:
    """Applying it leaves the other fields alone."""
    thing = Thing(title="old", extra={"a": "b"})
    ThingPatch.model_validate({"title": "new"}).apply_to(thing)

    assert (thing.title, thing.extra) == ("new", {"a": "b"})


def test_a_patchs_schema_requires_nothing() -> None:
    """In the OpenAPI schema no field is required, and null only stands where it is taken."""
    schema = ThingPatch.model_json_schema()

    assert "required" not in schema
    assert schema["properties"]["title"]["type"] == "string"
    assert {"type": "null"} in schema["properties"]["note"]["anyOf"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "value",
    [
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+14:00",
        "2026-01-31T12:00:00",
        "2026-01-31",
        1577836800,
        1577836800.5,
        "1577836800",
        "-1",
        1e18,
        True,
        None,
        datetime(2026, 1, 31, 12),  # noqa: DTZ001  # refused is what it should be
    ],
)
def test_times_that_are_refused(value: object) -> None:
    """No offset, a number, or outside of the years 1 to 9999 in UTC."""
    with pytest.raises(ValidationError):
        times.validate_python(value)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001  # hypothesis adds the zone
    st.integers(-1439, 1439),
)
def test_times_are_kept_and_given_in_utc(naive: datetime, minutes: int) -> None:
    """The instant stays the same, and JSON says `Z`."""
    aware = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = times.validate_python(aware.isoformat())

    assert read == aware
    assert read.tzinfo is UTC
    assert times.dump_json(read).endswith(b'Z"')
    assert times.validate_json(times.dump_json(read)) == aware
