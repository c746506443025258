"""Demo data: plausible, repeatable, and all or nothing."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from pydantic import TypeAdapter
from rich.progress import Progress
from sqlalchemy import func, text
from sqlmodel import col, select
from typer.main import get_command
from typer.testing import CliRunner

from neonkit import Database
from neonkit.dsn import Dsn
from neonkit_starter.demo_data import PASSWORD, DemoDataError, Plan, fill
from neonkit_starter.demo_data.command import commands
from neonkit_starter.demo_data.rows import Row, post_rows, user_rows
from neonkit_starter.posts.models import Post
from neonkit_starter.posts.schemas import PostCreate
from neonkit_starter.users.models import User
from neonkit_starter.users.schemas import UserCreate
from starter.conftest import API

ROOT = Path(__file__).parents[2]
DAY = date(2026, 11, 1)
PLAN = Plan(users=200, posts=2000, seed=1, until=DAY)
QUIET = Progress(disable=True)
USERS, POSTS = f"{API}/users", f"{API}/posts"


def _users(plan: Plan) -> list[Row]:
    return list(user_rows(plan, range(1, plan.users + 1), "-"))


def _posts(plan: Plan) -> list[Row]:
    return list(post_rows(plan, range(1, plan.users + 1)))


def test_a_seed_decides_every_row() -> None:
    """The same plan makes the same users and posts; another seed makes others."""
    other = Plan(PLAN.users, PLAN.posts, 2, DAY)

    assert _users(PLAN) == _users(PLAN)
    assert _posts(PLAN) == _posts(PLAN)
    assert {row[1] for row in _users(PLAN)} != {row[1] for row in _users(other)}
    assert not {row[2] for row in _posts(PLAN)} >= {row[2] for row in _posts(other)}


def test_names_are_unique_however_many() -> None:
    """Beyond all pairs of names, names get numbers; none differs from another in case only."""
    names = [str(row[1]).lower() for row in _users(Plan(30_000, 1, 3, DAY))]

    assert len(set(names)) == len(names)


def test_rows_keep_the_rules_of_the_service() -> None:
    """Whatever is filled in, a client could have sent."""
    users, posts = TypeAdapter(UserCreate), TypeAdapter(PostCreate)

    for row in _users(Plan(15_000, 1, 4, DAY)):
        users.validate_python({"username": row[1], "email": row[2], "password": PASSWORD})
    for row in _posts(PLAN):
        posts.validate_python({"title": row[1], "content": row[2]})


def test_times_are_of_the_last_two_years() -> None:
    """Users register, and posts are written, one after the other, over the whole of two years.

    Nobody writes before registering, and nothing is changed before it is written or after the end.
    """
    end = datetime(2026, 11, 1, tzinfo=UTC)
    joined = {row[0]: row[6] for row in _users(PLAN)}
    written: list[datetime] = []
    for author, _, _, created, updated in _posts(PLAN):
        assert isinstance(created, datetime)
        assert isinstance(updated, datetime)
        assert joined[author] <= created <= updated <= end  # type: ignore[operator]  # a time
        written.append(created)

    assert written == sorted(written)
    assert list(joined.values()) == sorted(joined.values())  # type: ignore[type-var]  # times
    assert min(joined.values()) == end - timedelta(days=730)  # type: ignore[type-var]  # times
    assert written[-1] > end - timedelta(days=1)


def test_few_write_most() -> None:
    """A tenth of the users writes more than half of the posts; most have written something."""
    plan = Plan(users=1000, posts=20_000, seed=1, until=DAY)
    counts = Counter(row[0] for row in _posts(plan))
    most = [count for _, count in counts.most_common(plan.users // 10)]

    assert sum(most) > plan.posts / 2
    assert most[0] > 5 * most[9]
    assert len(counts) > plan.users / 2


async def _rows(db: Database) -> list[tuple[object, ...]]:
    """Everything but the hash, which has a salt of its own."""
    async with db.read_session() as session:
        users = await session.exec(select(User).order_by(col(User.id)))
        posts = await session.exec(select(Post).order_by(col(Post.id)))
        return [
            *((u.id, u.username, u.email, u.is_active, u.created_at) for u in users),
            *((p.id, p.author_id, p.title, p.content, p.created_at, p.updated_at) for p in posts),
        ]


async def _counts(db: Database) -> tuple[int, int]:
    async with db.read_session() as session:
        users = await session.exec(select(func.count()).select_from(User))
        posts = await session.exec(select(func.count()).select_from(Post))
        return users.one(), posts.one()


@pytest.mark.real_commits
async def test_a_filled_service_serves(dsn: Dsn, db: Database, client: AsyncClient) -> None:
    """Lists, searches, authors and signing in work; the next user and the next post are made."""
    await fill(dsn, PLAN, QUIET)

    page = (await client.get(POSTS, params={"total": "exact", "limit": 5})).json()
    found = (await client.get(POSTS, params={"q": page["items"][0]["title"]})).json()
    form = {"username": PLAN.example, "password": PASSWORD}
    token = (await client.post(f"{API}/auth/token", data=form)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    me = (await client.get(f"{USERS}/me", headers=headers)).json()
    mine = (await client.get(f"{USERS}/{me['id']}/posts", params={"total": "exact"})).json()
    body = {"username": "newcomer", "email": "new@example.com", "password": "a fresh beginning"}
    user = await client.post(USERS, json=body)
    post = await client.post(POSTS, json={"title": "T", "content": "C"}, headers=headers)

    assert page["total"] == PLAN.posts
    assert page["items"][0]["id"] in {item["id"] for item in found["items"]}
    assert (me["username"], me["role"]) == (PLAN.example, "user")
    assert mine["total"] > PLAN.posts / 50
    assert (user.status_code, user.json()["id"]) == (201, PLAN.users + 1)
    assert (post.status_code, post.json()["id"]) == (201, PLAN.posts + 1)
    assert await _counts(db) == (PLAN.users + 1, PLAN.posts + 1)


@pytest.mark.real_commits
async def test_the_planner_knows_the_rows(dsn: Dsn, db: Database) -> None:
    """Both tables have been vacuumed and analysed, and are known to have their rows."""
    await fill(dsn, PLAN, QUIET)

    async with db.engine.connect() as connection:
        known = await connection.execute(
            text(
                "SELECT c.relname, reltuples::int, vacuum_count, analyze_count FROM pg_class c "
                "JOIN pg_stat_user_tables ON relid = c.oid "
                "WHERE relid IN ('users'::regclass, 'posts'::regclass) ORDER BY 1"
            )
        )
        assert known.all() == [("posts", PLAN.posts, 1, 1), ("users", PLAN.users, 1, 1)]


@pytest.mark.real_commits
@pytest.mark.parametrize("seed", [PLAN.seed, 2])
async def test_a_second_time_changes_nothing(dsn: Dsn, db: Database, seed: int) -> None:
    """With the same seed or another one it is refused, with what to do; no id is spent."""
    await fill(dsn, PLAN, QUIET)
    before = await _rows(db)

    with pytest.raises(DemoDataError, match=r"already: nothing was changed\. To begin"):
        await fill(dsn, Plan(10, 10, seed, DAY), QUIET)

    assert await _rows(db) == before
    async with db.session() as session:
        user = User(username="next", email="next@example.com", hashed_password="-")
        session.add(user)
        await session.commit()
        assert user.id == PLAN.users + 1


@pytest.mark.real_commits
async def test_a_name_that_is_taken_changes_nothing(dsn: Dsn, db: Database) -> None:
    """Where somebody has the last demo user's name, however capitalized, none are made."""
    name = str(_users(PLAN)[-1][1]).upper()
    async with db.session() as session:
        session.add(User(username=name, email="real@example.com", hashed_password="-"))
        await session.commit()

    with pytest.raises(DemoDataError, match="Another --seed gives other names"):
        await fill(dsn, PLAN, QUIET)

    assert await _counts(db) == (1, 0)


@pytest.mark.real_commits
async def test_what_fails_at_the_end_changes_nothing(
    dsn: Dsn, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure in the last post leaves no user and no post."""

    def broken(plan: Plan, ids: list[int]) -> Iterator[Row]:
        *rows, last = post_rows(plan, ids)
        yield from rows
        yield (2**31 - 1, *last[1:])

    monkeypatch.setattr("neonkit_starter.demo_data.filling.post_rows", broken)
    with pytest.raises(DemoDataError, match=r"\(foreign-key\): nothing was changed"):
        await fill(dsn, PLAN, QUIET)

    assert await _counts(db) == (0, 0)


@pytest.mark.real_commits
async def test_a_database_without_tables_is_refused(dsn: Dsn, db: Database) -> None:
    """The message says how the tables are made."""
    async with db.engine.begin() as connection:
        await connection.execute(text("DROP TABLE users CASCADE"))

    with pytest.raises(DemoDataError, match="run `neonkit migrate`"):
        await fill(dsn, PLAN, QUIET)


@pytest.mark.real_commits
async def test_only_one_at_a_time(dsn: Dsn, db: Database) -> None:
    """While another process fills the database, a second one is refused at once."""
    lock = "SELECT pg_advisory_xact_lock(hashtext('neonkit_starter.demo_data'))"
    async with db.engine.begin() as connection:
        await connection.execute(text(lock))
        with pytest.raises(DemoDataError, match="another process is filling"):
            await fill(dsn, PLAN, QUIET)


def _run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if "DATABASE" not in name}
    return subprocess.run(
        [sys.executable, "-m", "neonkit_starter.demo_data", *arguments],
        cwd=folder,
        env=kept | {"ENVIRONMENT": "", "COLUMNS": "200"} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--users", "0"),
        ("--users", "many"),
        ("--posts", "-5"),
        ("--posts", "10000001"),
        ("--seed", "x"),
        ("--until", "2026-02-30"),
        ("--until", "0001-01-01"),
    ],
)
def test_a_value_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    """Exit code 2, the option is named, and no database is made."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(commands, [option, value])

    assert (done.exit_code, done.stdout) == (2, "")
    assert f"'{option}'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_production_is_refused(tmp_path: Path) -> None:
    """Accounts whose password everybody knows are not made where ENVIRONMENT says production."""
    url = "postgresql://u:hunter2@127.0.0.1:1/db"
    done = _run(
        tmp_path, ENVIRONMENT="production", NEON_DATABASE_URL=url, SECRET_KEY=os.urandom(32).hex()
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "set ENVIRONMENT=development" in done.stderr


@pytest.mark.real_commits
async def test_a_database_that_does_not_let_us_in_is_one_line(dsn: Dsn, tmp_path: Path) -> None:
    """Exit code 1, and what the database said; no password, no traceback."""
    wrong = dsn.replace(password="hunter2")
    done = _run(tmp_path, NEON_DATABASE_URL=wrong.for_libpq())

    assert (done.returncode, done.stdout) == (1, "")
    assert "password authentication failed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_the_command_on_nothing_and_again(tmp_path: Path) -> None:
    """It starts the embedded server, makes the tables, fills them, and says how to sign in.

    Again, it fails with exit code 1 and one line.
    """
    first = _run(tmp_path, "--users", "20", "--posts", "100")
    again = _run(tmp_path, "--users", "20", "--posts", "100")

    assert first.returncode == 0, first.stderr
    assert "20 users and 100 posts" in first.stdout
    assert PASSWORD in first.stdout
    assert (again.returncode, again.stdout) == (1, "")
    assert len(again.stderr.splitlines()) == 1, again.stderr


@pytest.mark.real_commits
async def test_the_rows_are_the_plans(dsn: Dsn, db: Database) -> None:
    """The rows of a database are those of the plan, with the ids that sequences give."""
    await fill(dsn, PLAN, QUIET)
    users = [(row[0], row[1], row[2], row[5], row[6]) for row in _users(PLAN)]
    posts = [(number, *row) for number, row in enumerate(_posts(PLAN), 1)]

    assert await _rows(db) == [*users, *posts]


@pytest.mark.parametrize("page", ["Makefile", "README.md", "docs/how-to/fill-with-demo-data.md"])
def test_the_command_that_is_shown_is_one(page: str) -> None:
    """What `make run` prints, and what the documentation says, can be typed."""
    shown = re.findall(r"-m neonkit_starter\.demo_data([-\w ]*)", (ROOT / page).read_text())

    assert shown
    for arguments in shown:
        context = get_command(commands).make_context("demo_data", arguments.split())
        assert (context.params["users"], context.params["posts"]) == (10_000, 100_000)


def test_the_page_shows_who_signs_in() -> None:
    """The how-to names the user whom its command makes first."""
    page = (ROOT / "docs/how-to/fill-with-demo-data.md").read_text()

    assert f"\nSign in as {PLAN.example}, password: {PASSWORD}\n" in page


def test_a_database_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody knows the demo users' password; nothing is connected before that is said."""
    monkeypatch.setenv("NEON_DATABASE_URL", "postgresql://ada:secret@db.example.com/shop")
    done = CliRunner().invoke(commands, ["--users", "1", "--posts", "1"])

    assert done.exit_code == 2
    assert "--remote" in done.output
    assert "secret" not in done.output
