"""The committed file of round-trip budgets: what each request spends, and its ceiling."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neonkit.errors import ConfigurationError

_HEAD = """\
# Round trips to the database, and the statements that they carry, per request.
# `pytest --accept-round-trips` writes `trips` and `statements`; a `ceiling` is written by hand.
"""
_SECTIONS = re.compile(r"^(?=\[)", re.MULTILINE)
_MEASURED = re.compile(
    r"^(?:trips = [^\n]*\n|statements = \[\]\n|statements = \[\n.*?^\]\n)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Spending:
    """The cost of a request, spent or allowed.

    Attributes:
        trips: round trips.
        statements: their fingerprints, in the order of sending.
    """

    trips: int
    statements: tuple[str, ...]

    def is_like(self, other: "Spending | None") -> bool:
        """Compare: as many trips, and the same statements in any order."""
        return (
            other is not None
            and self.trips == other.trips
            and Counter(self.statements) == Counter(other.statements)
        )


@dataclass(frozen=True)
class Budget:
    """One entry of the file.

    Attributes:
        spending: what was accepted last; `None` before the first time.
        ceiling: the trips that no budget may exceed; `None` where nobody has written one.
    """

    spending: Spending | None = None
    ceiling: int | None = None


def read_budgets(file: Path) -> dict[str, Budget]:
    """Read the file; none is the same as an empty one.

    Raises:
        ConfigurationError: it is not TOML, or holds something else than budgets.
    """
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error
    return {name: _read(table, f'["{name}"] in {file}') for name, table in tables.items()}


def write_budgets(file: Path, accepted: Mapping[str, Spending]) -> None:
    """Write what was accepted; other entries, and whatever was written by hand, stay.

    Entries are sorted by what follows the method. A comment belongs to the entry above it.
    """
    text = file.read_text("utf-8") if file.exists() else _HEAD
    head, *sections = _SECTIONS.split(text)
    entries = {next(iter(tomllib.loads(section))): section for section in sections}
    for name, spending in accepted.items():
        by_hand = _MEASURED.sub("", entries.get(name, f"[{_quoted(name)}]\n")).rstrip()
        entries[name] = f"{by_hand}\n{_measured(spending)}"
    in_order = sorted(entries, key=lambda name: (name.partition(" ")[2], name))
    parts = [head.rstrip(), *(entries[name].rstrip() for name in in_order)]
    written = file.with_name(f"{file.name}.new")
    written.write_text("\n\n".join(filter(None, parts)) + "\n", "utf-8")
    written.replace(file)


def _read(table: object, where: str) -> Budget:
    if isinstance(table, dict) and table.keys() <= {"trips", "statements", "ceiling"}:
        trips, ceiling = table.get("trips"), table.get("ceiling")
        texts = table.get("statements", [])
        are_numbers = all(each is None or type(each) is int for each in (trips, ceiling))
        if are_numbers and isinstance(texts, list) and all(isinstance(t, str) for t in texts):
            return Budget(None if trips is None else Spending(trips, tuple(texts)), ceiling)
    raise ConfigurationError(
        f"{where} is not a budget: it may have the numbers `ceiling` and `trips`, and a list of "
        "texts `statements`"
    )


def _measured(spending: Spending) -> str:
    lines = "".join(f"  {_quoted(text)},\n" for text in spending.statements)
    return f"trips = {spending.trips}\nstatements = [{f'{chr(10)}{lines}' if lines else ''}]\n"


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
