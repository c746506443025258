"""A new revision: the difference between what the history makes and what the models say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    MetaData,
    String,
    Table,
    TypeDecorator,
    inspect,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from neonkit.dsn import Dsn
from neonkit.migrations._errors import MigrationError
from neonkit.migrations._history import head_of, read_script
from neonkit.migrations._upgrade import connected, run_to

_OURS = "neonkit"  # the schema of the toolkit's own tables, which have a history of their own
_OF_EXTENSIONS = text("""
SELECT relname FROM pg_class JOIN pg_depend
  ON classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
""")


async def make_revision(
    dsn: Dsn, folder: Path, metadata: MetaData, message: str | None = None
) -> Path | None:
    """Write the revision that brings the history to the models.

    The revisions that are there are run in a database made for it and dropped again, so that the
    state of nobody's own database matters. The first revision marks `dsn`'s database as having it
    where `create_all` made the very same tables there.

    Args:
        dsn: any database of a server on which the role may create one; not a pooler's.
        folder: where the history is, or will be.
        metadata: every table of the app.
        message: what changes, in a few words; part of the file's name.

    Returns:
        the new file; `None` where the models say nothing new.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: the server cannot be used, or a revision of the folder fails.
    """
    script = read_script(folder)
    head = head_of(script)
    async with _scratch(dsn) as connection:
        if head is not None:
            await connection.run_sync(run_to, script, head)
        file = await connection.run_sync(_write, script, metadata, message or _default(head))
    if head is None and file is not None:
        async with connected(dsn) as connection:
            await connection.run_sync(_adopt, script, metadata)
    return file


def _default(head: str | None) -> str:
    return "the first tables" if head is None else "changes of the models"


@asynccontextmanager
async def _scratch(dsn: Dsn) -> AsyncIterator[AsyncConnection]:
    """Make an empty database, and drop it after the block."""
    name = f"neonkit_scratch_{token_hex(6)}"
    async with _outside_transaction(dsn) as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
    try:
        async with connected(dsn.replace(database=name)) as connection:
            yield connection
    finally:
        async with _outside_transaction(dsn) as connection:
            await connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@asynccontextmanager
async def _outside_transaction(dsn: Dsn) -> AsyncIterator[AsyncConnection]:
    async with connected(dsn) as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


def _write(
    connection: Connection, script: ScriptDirectory, metadata: MetaData, message: str
) -> Path | None:
    change = difference(connection, metadata)
    up, down = change.upgrade_ops, change.downgrade_ops
    if up is None or down is None or up.is_empty():
        return None
    if _needs_trigrams(up):
        up.ops.insert(0, ops.ExecuteSQLOp("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    imports: set[str] = set()
    written = script.generate_revision(
        token_hex(6),
        message,
        upgrades=_render(up, imports),
        downgrades=_render(down, imports),
        imports="".join(f"{line}\n" for line in sorted(imports)),
    )
    if written is None:
        raise MigrationError("Alembic wrote no revision")
    return Path(written.path)


def difference(connection: Connection, metadata: MetaData) -> ops.MigrationScript:
    """The steps that would make the database what the models say.

    Left out: the toolkit's own tables, those of extensions, and schemas that no model names.
    """
    extensions = set(connection.scalars(_OF_EXTENSIONS))
    schemas = {table.schema for table in metadata.tables.values()} - {_OURS} | {None}

    def is_named(name: str | None, kind: str, _parents: object) -> bool:
        return name in schemas if kind == "schema" else name not in extensions

    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": is_named,
            "include_object": _is_the_apps,
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    return produce_migrations(context, metadata)


def _is_the_apps(
    item: SchemaItem, _name: str | None, _kind: str, _is_reflected: bool, _other: object
) -> bool:
    return not isinstance(item, Table) or item.schema != _OURS


def _adopt(connection: Connection, script: ScriptDirectory, metadata: MetaData) -> None:
    """Mark a database as being at head, if `create_all` has made exactly these tables in it."""
    head = head_of(read_script(Path(script.versions).parent))
    up = difference(connection, metadata).upgrade_ops
    names = inspect(connection).get_table_names()
    connection.rollback()
    if head and names and "alembic_version" not in names and up is not None and up.is_empty():
        MigrationContext.configure(connection).stamp(script, head)
        connection.commit()


def _needs_trigrams(operations: ops.OpContainer) -> bool:
    return any(
        _needs_trigrams(each)
        if isinstance(each, ops.OpContainer)
        else isinstance(each, ops.CreateIndexOp)
        and "gin_trgm_ops" in (each.kw.get("postgresql_ops") or {}).values()
        for each in operations.ops
    )


def _render(operations: ops.UpgradeOps | ops.DowngradeOps, imports: set[str]) -> str:
    def render_item(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
        contexts.append(context)
        return _render_item(kind, item)

    contexts: list[AutogenContext] = []
    code = render_python_code(
        operations,
        render_item=render_item,
        migration_context=MigrationContext.configure(dialect_name="postgresql"),
    )
    for context in contexts:
        imports |= context.imports
    return code.removesuffix("\n")


def _render_item(kind: str, item: object) -> str | Literal[False]:
    """Write a type of Python's world as the plain one that the database sees."""
    if kind != "type" or not isinstance(item, TypeDecorator):
        return False
    plain: TypeEngine[object] = item.impl_instance
    if isinstance(plain, String):
        return f"sa.String(length={plain.length})" if plain.length else "sa.String()"
    if isinstance(plain, DateTime):
        return f"sa.DateTime(timezone={plain.timezone})"
    return "sa.BigInteger()" if isinstance(plain, BigInteger) else False
