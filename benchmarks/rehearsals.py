"""What a rehearsal of a dangerous and of a safe migration prints.

    python -m benchmarks.rehearsals [--rows 1000000]

Both are judged and rehearsed as `neonkit migrate --lint` and `--rehearse` do it, each on a table of
its own that is like the other's. The dangerous one is written by hand, the safe one is what
`neonkit makemigrations` writes, with a backfill.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import sqlalchemy as sa

from neonkit.dsn import Dsn
from neonkit.local import LocalServer
from neonkit.migrations import lint, make_revision, rehearse, stamp, write_empty

RESULTS = Path(__file__).parent / "results" / "rehearsals.md"
ROWS = """
INSERT INTO note (title) SELECT 'note ' || n FROM generate_series(1, {rows}) n;
VACUUM ANALYZE note;
"""
DANGEROUS = """
    op.execute("ALTER TABLE note ADD COLUMN token uuid DEFAULT gen_random_uuid()")
    op.execute("ALTER TABLE note ALTER COLUMN title SET NOT NULL")
    op.execute("CREATE INDEX ix_note_title ON note (title)")
"""
SAFE = """
    from neonkit.migrations import backfill
    backfill("note", {"token": "gen_random_uuid()"}, where="token IS NULL AND id <= 20000")
"""


def _models(*columns: sa.Column[Any], is_tight: bool = False) -> sa.MetaData:
    metadata = sa.MetaData()
    title = sa.Column("title", sa.Text, nullable=not is_tight, index=is_tight)
    sa.Table("note", metadata, sa.Column("id", sa.Integer, primary_key=True), title, *columns)
    return metadata


def _fill_in(file: Path, body: str) -> None:
    text = file.read_text()
    file.write_text(
        text.replace('    """Apply it."""\n    pass\n', f'    """Apply it."""{body}', 1)
    )


async def _table(server: Dsn, name: str, folder: Path, rows: int) -> Dsn:
    """A database at the revision that makes the table, and the table with rows."""
    admin = await asyncpg.connect(**server.for_asyncpg())
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    dsn = server.replace(database=name)
    await make_revision(dsn, folder, _models())
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    await connection.execute("CREATE TABLE note (id serial PRIMARY KEY, title text)")
    for statement in ROWS.format(rows=rows).split(";")[:-1]:
        await connection.execute(statement)
    await connection.close()
    await stamp(dsn, folder, "head")
    return dsn


async def _printed(dsn: Dsn, folder: Path) -> tuple[str, str]:
    findings = "\n".join(map(str, await lint(dsn, folder))) or "nothing that would hurt"
    rehearsed = "\n".join(map(str, await rehearse(dsn, folder)))
    return findings, rehearsed


async def _run(rows: int) -> str:
    with TemporaryDirectory() as given:
        folder = Path(given)
        async with await LocalServer.start(folder / "postgres", is_durable=False) as local:
            server = Dsn.parse(local.url)
            dangerous = await _table(server, "dangerous", folder / "dangerous", rows)
            _fill_in(write_empty(folder / "dangerous", "all at once"), DANGEROUS)
            safe = await _table(server, "safe", folder / "safe", rows)
            token = sa.Column("token", sa.Uuid, server_default=sa.func.gen_random_uuid())
            plain = _models(sa.Column("token", sa.Uuid))
            await make_revision(safe, folder / "safe", plain, "notes have a token")
            _fill_in(write_empty(folder / "safe", "fill the tokens"), SAFE)
            await make_revision(safe, folder / "safe", _models(token, is_tight=True), "tighten")
            told = [*await _printed(dangerous, folder / "dangerous"),
                    *await _printed(safe, folder / "safe")]  # fmt: skip
    return HEAD.format(*told, rows=rows, day=f"{datetime.now(UTC):%Y-%m-%d}")


HEAD = """# Rehearsals as they print

`python -m benchmarks.rehearsals --rows {rows}` on {day}: a table of {rows:,} rows.
The machine has two cores, and was busy with other work at the time.

## A dangerous migration

`neonkit migrate --lint`:

```text
{0}
```

`neonkit migrate --rehearse`:

```text
{1}
```

## A safe one

`neonkit migrate --lint`:

```text
{2}
```

`neonkit migrate --rehearse`:

```text
{3}
```
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    report = asyncio.run(_run(parser.parse_args().rows))
    RESULTS.write_text(report)
    sys.stdout.write(report)
