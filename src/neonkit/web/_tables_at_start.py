"""An app's tables at its start: brought to what the release needs, or only looked at."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import Database, schema_lead
from neonkit.dsn import Dsn
from neonkit.errors import BehindError, MigrationError
from neonkit.history import History, check_head, missing_names

_log = logging.getLogger("neonkit")

_NO_SCHEMA = "the schema `neonkit` is missing or of an older release: run `neonkit migrate`"
_NEWER = (
    "a newer release has migrated this database (%s): this one serves on, as long as the tables "
    "allow it"
)
_MISSING = (
    "models name what the database lacks, and it is on another machine: %s; run `neonkit "
    "makemigrations` and `neonkit migrate`"
)
_UNWRITTEN = "the models say more than the migrations: `neonkit makemigrations` writes a revision"
_LEFT = (
    "the tables are not what the models say, and only what adds is done unasked. Two ways on: as "
    "revisions, with `neonkit adopt --as-it-is` and then `neonkit makemigrations`; or with a fresh "
    "database: of the embedded one, end this and `rm -r .neonkit/postgres`"
)


@dataclass(frozen=True)
class TablesAtStart:
    """The tables that an app needs.

    Attributes:
        database: where they are.
        direct_dsn: where migrations go; `None` where nobody told.
        history: the app's revisions, if it is to have any.
        metadata: its models' tables.
        follows: whether models that change are followed, as in development.
    """

    database: Database
    direct_dsn: Dsn | None
    history: History | None
    metadata: Sequence[MetaData]
    follows: bool

    async def look(self) -> None:
        """Connect, and change nothing.

        Raises:
            BehindError: the database lacks what this release needs.
        """
        await self.database.probe()
        async with self.database.engine.connect() as connection:
            lead = await schema_lead(connection)
            if lead < 0:
                raise BehindError(_NO_SCHEMA)
            newer = await self._newer_revisions(connection)
            missing = await connection.run_sync(missing_names, self.metadata)
        if lead > 0 or newer:
            _log.warning(_NEWER, ", ".join(newer) or "the schema `neonkit`")
        elif self.follows and missing:
            _log.warning(_MISSING, ", ".join(missing))

    async def bring(self) -> None:
        """Apply the revisions; where there are none, make what models say beyond the tables.

        Raises:
            MigrationError: a revision failed.
        """
        await self.database.bring_schema()
        history, dsn = self.history, self.direct_dsn
        if history is not None and history.is_foreign:
            return
        if history is not None and history.is_ours:
            if dsn is not None:
                await self._upgrade(dsn, history)
        elif self.follows and dsn is not None:
            await self._follow(dsn)
        else:
            await self.database.create_all(*self.metadata)

    async def _upgrade(self, dsn: Dsn, history: History) -> None:
        with suppress(BehindError):
            async with self.database.engine.connect() as connection:
                newer = await self._newer_revisions(connection)
            if newer:
                _log.warning(_NEWER, ", ".join(newer))
                return
        from neonkit.migrations import upgrade  # Alembic, which no start in production needs

        await upgrade(dsn, history.folder)

    async def _follow(self, dsn: Dsn) -> None:
        from neonkit.migrations import follow  # as above

        make_missing = partial(self.database.create_all, *self.metadata)
        try:
            done = await follow(dsn, self.metadata, make_missing)
        except MigrationError as error:
            await make_missing()
            _log.warning("models and tables were not compared: %s", error)
            return
        for statement in done.made:
            _log.info("made: %s;", re.sub(r"\n *", " ", statement))
        _tell(done.left, "not done", _LEFT)

    async def tell_unwritten(self) -> None:
        """Name what models say beyond the revisions."""
        history, dsn = self.history, self.direct_dsn
        if not self.follows or history is None or not history.is_ours or dsn is None:
            return
        from neonkit.migrations import follow  # as above

        async with self.database.engine.connect() as connection:
            newer = await self._newer_revisions(connection)
        if not newer:
            with suppress(MigrationError):  # a role that may make no database cannot compare
                found = await follow(dsn, self.metadata)
                _tell(found.left, "in no revision", _UNWRITTEN)

    async def _newer_revisions(self, connection: AsyncConnection) -> tuple[str, ...]:
        history = self.history
        if history is None or not history.is_ours:
            return ()
        return await check_head(connection, history.folder)


def _tell(differences: Sequence[str], what: str, way_on: str) -> None:
    for each in differences:
        _log.warning("%s: %s", what, each)
    if differences:
        _log.warning(way_on)
