"""Row-level security by hand: what a listener says at a session's beginning holds everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event, insert, text, update
from sqlalchemy.orm import Session, SessionTransaction
from sqlmodel import Field, col, select

from neonkit import Database, TableModel
from neonkit.db import Condition

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]


class Consignment(TableModel, table=True):
    """A row of one tenant."""

    id: int | None = Field(default=None, primary_key=True)
    tenant: str
    label: str = ""


@pytest.fixture
async def secured(db: Database) -> None:
    """One consignment for each of two tenants, and a policy that shows a tenant its own."""
    async with db.session() as session:
        session.add_all([Consignment(tenant="ada"), Consignment(tenant="eve")])
        await session.commit()
    async with db.engine.begin() as connection:
        for statement in (
            "GRANT SELECT, INSERT, UPDATE ON consignment TO pg_monitor",
            "GRANT USAGE ON SEQUENCE consignment_id_seq TO pg_monitor",
            "ALTER TABLE consignment ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY own ON consignment USING (tenant = current_setting('app.tenant', true))",
        ):
            await connection.execute(text(statement))


@contextmanager
def _as_tenant(name: str) -> Iterator[None]:
    def say(_session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
        connection.execute(text("SET LOCAL ROLE pg_monitor"))
        connection.execute(text("SELECT set_config('app.tenant', :name, true)"), {"name": name})

    event.listen(Session, "after_begin", say)
    try:
        yield
    finally:
        event.remove(Session, "after_begin", say)


@pytest.mark.usefixtures("secured")
async def test_a_statement_without_a_session_is_under_it_too(db: Database) -> None:
    """`db.execute` reads and writes what the tenant may, with conditions and without; then not."""
    everything = select(Consignment.tenant)
    rename = update(Consignment).values(label="seen").returning(col(Consignment.tenant))
    is_there = Condition(
        select(Consignment.id).where(col(Consignment.tenant) == "eve").exists(), name="eve"
    )
    with _as_tenant("ada"):
        assert (await db.execute(everything)).scalars().all() == ["ada"]
        assert (await db.execute(rename)).scalars().all() == ["ada"]
        with pytest.raises(Exception, match="the eve under which"):
            await db.execute(everything, conditions=[is_there])
        with pytest.raises(Exception, match="row-level security"):
            await db.execute(insert(Consignment).values(tenant="eve"))
        async with db.session() as session:
            assert (await session.exec(everything)).all() == ["ada"]
    assert sorted((await db.execute(everything)).scalars().all()) == ["ada", "eve"]
    seen = select(Consignment.tenant).where(col(Consignment.label) == "seen")
    assert (await db.execute(seen)).scalars().all() == ["ada"]
