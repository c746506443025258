"""JSON Pointers (RFC 6901) to the place of a fault in what the client sent."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Step: TypeAlias = str | int

_LONGEST = 200
_ABSENT = object()


def pointer_to(location: Sequence[Step]) -> str:
    """Write where a fault is as an RFC 6901 pointer, such as `/body/title`.

    A field's name may be the client's own: what cannot be encoded is replaced, and what is
    absurdly long is cut.
    """
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    pointer = "".join(f"/{step}" for step in steps)[:_LONGEST]
    return pointer.encode("utf-8", "replace").decode()


def pointer_into(body: object, entry: Mapping[str, Any]) -> str:
    """Point at what a validation error is about, in what the client sent.

    Pydantic's location also names what the client never wrote: the member of a union that was
    tried, a discriminator's tag, a validator. Those steps are left out.

    Args:
        body: the parsed body.
        entry: one of Pydantic's errors: its `loc`, `input` and `type`.
    """
    place, *steps = entry["loc"]
    if place != "body":
        return pointer_to(
            [place, *steps[:1], *(step for step in steps[1:] if isinstance(step, int))]
        )
    is_missing = entry["type"] == "missing"
    asked, last = (steps[:-1], steps[-1:]) if is_missing else (steps, [])
    found = _way(body, asked, entry.get("input", _ABSENT))
    return pointer_to([place, *(_sent_steps(body, asked) if found is None else found), *last])


def _way(value: object, steps: Sequence[Step], wanted: object) -> list[Step] | None:
    """The steps that lead to the very value that was refused: a tag may be a key's name, too."""
    dead_ends: set[tuple[int, int]] = set()  # else equal keys, deeply nested, cost 2^depth

    def from_here(value: object, at: int) -> list[Step] | None:
        if at == len(steps):
            return [] if value is wanted else None
        if (id(value), at) in dead_ends:
            return None
        inner = _inside(value, steps[at])
        if inner is not _ABSENT and (way := from_here(inner, at + 1)) is not None:
            return [steps[at], *way]
        if (way := from_here(value, at + 1)) is None:
            dead_ends.add((id(value), at))
        return way

    return from_here(value, 0)


def _sent_steps(value: object, steps: Sequence[Step]) -> list[Step]:
    """The steps that exist in what was sent, where the refused value is another by now."""
    kept: list[Step] = []
    for step in steps:
        inner = _inside(value, step)
        if inner is not _ABSENT:
            kept.append(step)
            value = inner
    return kept


def _inside(value: object, step: Step) -> object:
    if isinstance(value, Mapping):
        return value.get(step, _ABSENT)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return _ABSENT
