"""The fixture `revisions`: models, revisions and the test's database held to saying the same."""

from collections.abc import Iterable

import pytest

from neonkit.db import Database
from neonkit.migrations import compare
from neonkit.testing._databases import Databases
from neonkit.testing._wanted_tables import WantedTables

_BEYOND_HEAD = "the models say more than the migrations: run `neonkit makemigrations`"
_OTHERWISE = "the test's database is not what the models say"
_NO_APP = "no app with neonkit says where the migrations are: call `neonkit.install(app)`"


class Revisions:
    """The app's revisions, beside its models and the test's database.

    Args:
        db: the test's database.
        databases: where it is from.
        wanted: what it was made of.
    """

    def __init__(self, db: Database, databases: Databases, wanted: WantedTables) -> None:
        self._db = db
        self._databases = databases
        self._wanted = wanted

    async def agree(self) -> None:
        """Fail the test unless models, revisions and its database say the same.

        What differs is printed, in words and as the SQL that would bring it to the models.
        """
        __tracebackhide__ = True
        if self._wanted.revisions is None:
            pytest.fail(self._wanted.why_not or _NO_APP, pytrace=False)
        beyond = self._databases.beyond_head(self._wanted)
        if not beyond.is_empty:
            _fail(_BEYOND_HEAD, beyond.words, beyond.statements)
        async with self._db.engine.connect() as connection:
            change, _ = await connection.run_sync(compare, self._wanted.metadatas)
        if not change.is_empty:
            _fail(_OTHERWISE, change.words, change.statements)


def _fail(what: str, words: Iterable[str], statements: Iterable[str]) -> None:
    __tracebackhide__ = True
    lines = [what, "", *words, "", *(f"{each};" for each in statements)]
    pytest.fail("\n".join(lines), pytrace=False)


Revisions.__module__ = "neonkit.testing"  # that room imports nothing, so it shows no names
