"""Another name for what is there: nobody can know it but the person who gave it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from neonkit.errors import ConfigurationError
from neonkit.migrations._catalogue.catalogue import Catalogue, Table, table_of

_FORM = (
    "--rename {given}: write OLD=NEW, with a table's or a column's names: note=memo, or "
    "note.title=note.heading"
)
_ALIKE = 0.5  # of the columns of two tables


@dataclass(frozen=True)
class Rename:
    """A table, or a column of a table, that has another name now.

    Attributes:
        table: the table; for one that is renamed, its old name.
        old: the column's old name; `None` where the table is meant.
        new: the new name.
    """

    table: str
    old: str | None
    new: str

    @classmethod
    def parse(cls, given: str) -> "Rename":
        """Read it as it is written on the command line.

        Raises:
            ConfigurationError: it is no such thing.
        """
        old, _, new = (part.strip() for part in given.partition("="))
        if not old or not new:
            raise ConfigurationError(_FORM.format(given=given))
        table = table_of(old)
        if "." not in new:
            return cls(table, old.removeprefix(f"{table}."), new) if table else cls(old, None, new)
        if table_of(new) != table:
            raise ConfigurationError(_FORM.format(given=given))
        return cls(table, old.removeprefix(f"{table}."), new.removeprefix(f"{table}."))

    def among(self, tables: Collection[str]) -> "Rename":
        """Tell a table in a schema, `crm.note=memo`, from a column of a table."""
        whole = f"{self.table}.{self.old}"
        is_table = self.old is not None and whole in tables
        return Rename(whole, None, self.new) if is_table else self

    def __str__(self) -> str:
        if self.old is None:
            return f"{self.table}={self.new}"
        return f"{self.table}.{self.old}={self.table}.{self.new}"

    @property
    def statement(self) -> str:
        """What does it."""
        if self.old is None:
            return f"ALTER TABLE {self.table} RENAME TO {self.new}"
        return f"ALTER TABLE {self.table} RENAME COLUMN {self.old} TO {self.new}"

    @property
    def reverse(self) -> "Rename":
        """The way back."""
        if self.old is None:
            schema = table_of(self.table)
            bare = self.table.removeprefix(f"{schema}.")
            return Rename(f"{schema}.{self.new}" if schema else self.new, None, bare)
        return Rename(self.table, self.new, self.old)

    @property
    def words(self) -> str:
        """What changes."""
        what = self.table if self.old is None else f"{self.table}.{self.old}"
        return f"{what} is now called {self.new}."


def possible_renames(old: Catalogue, new: Catalogue) -> Iterator[Rename]:
    """What would go while something alike would come."""
    for name, table in new.tables.items():
        if name in old.tables:
            yield from _of_columns(name, old.tables[name], table)
        else:
            gone = (each for each in old.tables if each not in new.tables)
            alike = next((e for e in gone if _are_alike(old.tables[e], table)), None)
            if alike is not None:
                yield Rename(alike, None, name.removeprefix(f"{table_of(name)}."))


def _of_columns(name: str, old: Table, new: Table) -> Iterator[Rename]:
    gone = [each for each in old.columns if each not in new.columns]
    for column in new.columns:
        if column in old.columns:
            continue
        alike = next((e for e in gone if old.columns[e].type == new.columns[column].type), None)
        if alike is not None:
            gone.remove(alike)
            yield Rename(name, alike, column)


def _are_alike(old: Table, new: Table) -> bool:
    shared = old.columns.keys() & new.columns.keys()
    return len(shared) >= max(len(old.columns), len(new.columns)) * _ALIKE
