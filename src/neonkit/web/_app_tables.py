"""An app's tables at its start: brought to what the release needs, or only looked at."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import Database, schema_lead
from neonkit.dsn import Dsn
from neonkit.migrations import BehindError, History, check_head, upgrade

_log = logging.getLogger("neonkit")

_NO_SCHEMA = "the schema `neonkit` is missing or of an older release: run `neonkit migrate`"
_NEWER = (
    "a newer release has migrated this database (%s): this one serves on, as long as the tables "
    "allow it"
)


@dataclass(frozen=True)
class AppTables:
    """The tables that an app needs.

    Attributes:
        database: where they are.
        direct_dsn: where migrations go; `None` where nobody told.
        history: the app's revisions, if it is to have any.
        metadata: its models' tables.
    """

    database: Database
    direct_dsn: Dsn | None
    history: History | None
    metadata: Sequence[MetaData]

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
        if lead > 0 or newer:
            _log.warning(_NEWER, ", ".join(newer) or "the schema `neonkit`")

    async def bring(self) -> None:
        """Apply the revisions; where there are none, make the tables that are missing.

        Raises:
            MigrationError: a revision failed.
        """
        await self.database.bring_schema()
        history = self.history
        if history is None or not (history.is_ours or history.is_foreign):
            await self.database.create_all(*self.metadata)
        elif history.is_ours and self.direct_dsn is not None:
            await self._upgrade(self.direct_dsn, history)

    async def _upgrade(self, direct_dsn: Dsn, history: History) -> None:
        with suppress(BehindError):
            async with self.database.engine.connect() as connection:
                newer = await self._newer_revisions(connection)
            if newer:
                _log.warning(_NEWER, ", ".join(newer))
            return
        await upgrade(direct_dsn, history.folder)

    async def _newer_revisions(self, connection: AsyncConnection) -> tuple[str, ...]:
        history = self.history
        if history is None or not history.is_ours:
            return ()
        return await check_head(connection, history.folder)
