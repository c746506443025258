"""The checks of `doctor` on tables: what the database has of what the app needs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from neonkit.cli._doctor_checks import Check
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations import Standing, follow, standing_of
from neonkit.web import Runtime

_PATIENCE = 10.0  # seconds
_MOST_NAMED = 8
_NO_APP = Check(
    "tables",
    "ok",
    "no app with neonkit is named, so no tables are looked at",
    'name it in pyproject.toml: [tool.fastapi] entrypoint = "notes:app"',
)


async def check_tables(runtime: Runtime | None, dsn: Dsn) -> list[Check]:
    """Compare a database with the app's revisions and models; nothing in it is changed.

    On this machine all that models say is compared, in a database made for it and dropped again;
    elsewhere the names of tables and columns.
    """
    if runtime is None:
        return [_NO_APP]
    try:
        async with asyncio.timeout(_PATIENCE):
            tables = _Tables(runtime, await runtime.with_password(dsn))
            return [each async for each in tables.checks()]
    except MigrationError as error:
        return [Check("tables", "warn", f"the tables could not be looked at: {error}")]
    except TimeoutError:
        return [Check("tables", "warn", f"the tables were not compared within {_PATIENCE:g} s")]


@dataclass(frozen=True)
class _Tables:
    runtime: Runtime
    dsn: Dsn

    async def checks(self) -> AsyncIterator[Check]:
        runtime = self.runtime
        standing = await standing_of(self.dsn, runtime.history, runtime.metadata)
        yield self._check_schema(standing)
        if self._has_revisions:
            yield self._check_head(standing)
        if standing.newer:
            return
        if standing.missing:
            yield self._check_names(standing)
        elif self.dsn.is_local:
            yield await self._check_models()
        else:
            yield Check("tables.models", "ok", "every table and column that models name is there")

    @property
    def _has_revisions(self) -> bool:
        return self.runtime.history is not None and self.runtime.history.is_ours

    @property
    def _severity(self) -> Literal["fail", "warn"]:
        """Development mends it at the next start."""
        return "fail" if self.runtime.settings.is_production else "warn"

    @property
    def _fix(self) -> str:
        history = self.runtime.history
        if history is not None and history.is_foreign:
            return "alembic revision --autogenerate, then alembic upgrade head"
        if self._severity == "warn" and not self._has_revisions:
            return "neonkit dev, which adds what can be added and names the rest"
        return "neonkit makemigrations, then neonkit migrate"

    def _check_schema(self, standing: Standing) -> Check:
        if standing.schema_lead >= 0:
            return Check("tables.schema", "ok", "the schema `neonkit` is there")
        what = "the schema `neonkit`, the toolkit's own tables, is missing or of an older release"
        return Check("tables.schema", self._severity, what, "neonkit migrate")

    def _check_head(self, standing: Standing) -> Check:
        if standing.newer:
            what = f"a newer release has migrated this database ({_some(standing.newer)})"
            return Check("tables.head", "warn", what, "run the release that has these revisions")
        if standing.lacking:
            what = f"the database lacks revisions of the app: {_some(standing.lacking)}"
            return Check("tables.head", self._severity, what, "neonkit migrate")
        return Check("tables.head", "ok", "the database is at the newest revision")

    def _check_names(self, standing: Standing) -> Check:
        what = f"models name what the database lacks: {_some(standing.missing)}"
        fix = "neonkit migrate" if standing.lacking else self._fix
        return Check("tables.models", self._severity, what, fix)

    async def _check_models(self) -> Check:
        try:
            left = (await follow(self.dsn, self.runtime.metadata)).left
        except MigrationError as error:
            return Check("tables.models", "warn", f"models and tables were not compared: {error}")
        if not left:
            return Check("tables.models", "ok", "tables and models say the same")
        return Check("tables.models", self._severity, " ".join(left[:_MOST_NAMED]), self._fix)


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
