"""The tables that a test's database has, and whose they are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import MetaData, Sequence, Table
from sqlalchemy.orm import DeclarativeBase
from sqlmodel import SQLModel

if TYPE_CHECKING:
    from fastapi import FastAPI

    from neonkit.web import Runtime


@dataclass(frozen=True)
class WantedTables:
    """What a test's database is made from.

    Attributes:
        metadatas: the app's, and SQLModel's own, in which tests may declare tables as well.
        revisions: the folder of the app's revisions; `None` where it has none of ours.
        app_metadatas: those of them that the revisions are held to.
        why_not: why there are no revisions.
    """

    metadatas: tuple[MetaData, ...]
    revisions: Path | None = None
    app_metadatas: tuple[MetaData, ...] = ()
    why_not: str = field(default="", compare=False)

    @classmethod
    def of(cls, apps: Iterable[FastAPI]) -> WantedTables:
        """Take those of the first app that has revisions; of the first one where none has."""
        runtimes = [each for app in apps if (each := _runtime_of(app)) is not None]
        ours = [each for each in runtimes if each.history is not None and each.history.is_ours]
        for runtime in [*ours, *runtimes][:1]:
            others = (each for each in (SQLModel.metadata,) if each not in runtime.metadata)
            return cls(
                (*runtime.metadata, *others),
                runtime.history.folder if runtime.history is not None and ours else None,
                runtime.metadata if ours else (),
                "" if ours or runtime.history is None else runtime.history.why_not_ours,
            )
        return ALL_MODELS

    def names(self) -> frozenset[str]:
        """Every table that there should be by now."""
        return frozenset(name for each in self.metadatas for name in each.tables)


ALL_MODELS = WantedTables((SQLModel.metadata,))
"""Those of SQLModel's metadata, whatever app they are of."""


def _runtime_of(app: FastAPI) -> Runtime | None:
    runtime: Runtime | None = getattr(app.state, "neonkit", None)
    return runtime


def tables_of_tests(session: pytest.Session, revisions: Path) -> Iterator[Table | Sequence]:
    """The tables that tests declare for themselves, which no revision knows, and their sequences.

    They are those of a test module, of a `conftest`, and of whatever lies beside or below them,
    unless the app lies there too; and tables without a class that refer to nothing but these.
    """
    for table in _tables_of_tests(session, revisions):
        yield table
        yield from (each.default for each in table.columns if isinstance(each.default, Sequence))


def _tables_of_tests(session: pytest.Session, revisions: Path) -> Iterator[Table]:
    files = {item.path for item in session.items} | {
        Path(plugin.__file__)
        for plugin in session.config.pluginmanager.get_plugins()
        if isinstance(plugin, ModuleType) and plugin.__file__
        if Path(plugin.__file__).name == "conftest.py"
    }
    folders = {file.parent for file in files if file.parent not in revisions.parents}
    theirs: dict[str, Table] = {}
    others: set[str] = set()
    for model in _models(SQLModel, DeclarativeBase):
        file = Path(getattr(sys.modules.get(model.__module__), "__file__", None) or "/")
        table: Table = vars(model)["__table__"]
        if file in files or folders.intersection(file.parents):
            theirs[table.fullname] = table
        else:
            others.add(table.fullname)
    yield from theirs.values()
    for table in SQLModel.metadata.tables.values():
        targets = {each.target_fullname.rpartition(".")[0] for each in table.foreign_keys}
        if table.fullname not in others | theirs.keys() and targets and targets <= theirs.keys():
            yield table


def _models(*bases: type) -> Iterator[type]:
    for base in bases:
        derived: list[type] = base.__subclasses__()
        for each in derived:
            if isinstance(vars(each).get("__table__"), Table):
                yield each
            yield from _models(each)
