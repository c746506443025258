"""Hostile inputs, one table: refused with their status, slug and pointer; never a 500."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from neonkit.local import LocalServer
from support.hostile import ADMIN, ELSEWHERE, KEY, ROWS, Answer, Ask, Row, Stage, Told, for_notes
from support.outside import Served, serving

NOTES = Path(__file__).parent / "apps" / "notes.py"
MEETINGS = """

from pydantic import model_validator


class Meeting(InputModel):
    begins: neonkit.UtcDateTime
    ends: neonkit.UtcDateTime | None = None

    @model_validator(mode="after")
    def _in_order(self):
        if self.ends is not None and self.ends < self.begins:
            raise ValueError("it ends before it begins")
        return self


class MeetingRead(SQLModel):
    begins: neonkit.UtcDateTime


@app.post("/meetings", response_model=MeetingRead)
async def plan(body: Meeting) -> Meeting:
    return body
"""
TOLD_NOTHING = re.compile(
    r"Traceback|pydantic|asyncpg|sqlalchemy|INSERT|SELECT|uq_|ck_|File \"|127\.0\.0|evil\.example",
    re.IGNORECASE,
)
IDLE = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of these tests' own."""
    server = asyncio.run(LocalServer.start(tmp_path_factory.mktemp("postgres"), is_durable=False))
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Served]:
    """The starter, as `neonkit serve` runs it."""
    command = ("neonkit", "serve", "neonkit_starter.app:app")
    variables = {
        "ENVIRONMENT": "development",
        "NEON_DATABASE_URL": database,
        "SECRET_KEY": KEY,
        "RATE_LIMIT_ENABLED": "false",
        **{f"FIRST_ADMIN_{name.upper()}": value for name, value in ADMIN.items()},
    }
    with serving(tmp_path_factory.mktemp("starter"), *command, **variables) as served:
        served.wait_for("/health/startup", 200, 30)
        yield served


@pytest.fixture(scope="module")
def stage(starter: Served) -> Stage:
    """The starter with people in it."""
    stage = Stage(starter.url)
    stage.set_up()
    return stage


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The first evening's app under plain `uvicorn`, with its own embedded PostgreSQL."""
    folder = tmp_path_factory.mktemp("notes")
    (folder / "notes.py").write_text(NOTES.read_text() + MEETINGS)
    command = ("uvicorn", "notes:app", "--port", "{port}")
    with serving(folder, *command, ENVIRONMENT="development", SECRET_KEY=KEY) as served:
        served.wait_for("/health/startup", 200, 30)
        yield Stage(served.url)


@pytest.fixture(scope="module")
def documented(starter: Served) -> dict[str, dict[str, set[str]]]:
    """The statuses of each operation, by path and method, as its OpenAPI entry has them."""
    paths = json.loads(starter.get("/openapi.json")[1])["paths"]
    return {
        path: {method: set(entry["responses"]) for method, entry in operations.items()}
        for path, operations in paths.items()
    }


def _hold(answer: Answer, row: Row) -> None:
    """What every answer keeps to."""
    headers = answer.headers
    assert answer.status < 500, answer
    assert headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", headers["x-request-id"])
    if answer.status >= 400:
        document = json.loads(answer.body.decode("utf-8"))
        assert document["status"] == answer.status
        assert document["instance"] == headers["x-request-id"]
        assert {"type", "title", "detail"} <= document.keys()
        assert not TOLD_NOTHING.search(answer.body.decode())
    if answer.status == 401:
        assert headers["www-authenticate"].startswith("Bearer")
    for name, value in row.has.items():
        assert headers[name] == value
    assert row.says in answer.body.decode()


@pytest.mark.parametrize("name", ROWS)
def test_the_starter(stage: Stage, name: str) -> None:
    """Each row's status, slug and pointer; then all is as it was."""
    row = ROWS[name]
    answer = stage.answer_to(row)

    assert answer.told == row.told, answer
    _hold(answer, row)
    assert stage.send(Ask("GET /api/v1/posts/<post>"), "1").status == 200


@pytest.mark.parametrize("name", for_notes())
def test_an_app_under_another_server(notes: Stage, name: str) -> None:
    """The same, but for what a server answers by itself before there is a request."""
    row = for_notes()[name]
    answer = notes.answer_to(row)
    told, expected = answer.told, row.told
    if not expected.pointer.startswith("/body"):  # a list of notes has other parameters
        told, expected = Told(told.status, told.slug), Told(expected.status, expected.slug)

    assert told == expected, answer
    if told.slug != "-":
        _hold(answer, row)


def test_every_status_is_documented(documented: dict[str, dict[str, set[str]]]) -> None:
    """Whatever an operation answers to a row stands in its OpenAPI entry."""
    missing = set()
    for row in ROWS.values():
        if not isinstance(row.sent, Ask):
            continue
        method, _, target = row.sent.route.partition(" ")
        path = target.partition("?")[0]
        template = _template_of(path, documented)
        statuses = documented.get(template, {}).get(method.lower())
        if statuses is not None and str(row.told.status) not in statuses:
            missing.add(f"{method} {template}: {row.told.status}")
    assert not missing


def _template_of(path: str, documented: dict[str, dict[str, set[str]]]) -> str:
    """The most literal template that a path fits."""
    fitting = [
        template
        for template in documented
        if re.fullmatch(re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template)), path)
    ]
    return min(fitting, key=lambda template: template.count("{"), default="")


async def test_no_session_is_left_in_a_transaction(stage: Stage, database: str) -> None:
    """After all of it."""
    stage.answer_to(ROWS["B.8 131 once more"])
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval(IDLE) == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_shown_elsewhere_is_there(name: str) -> None:
    """A row that one request does not show names the test that does."""
    path, _, test = ELSEWHERE[name].partition("::")
    text = (Path(__file__).parents[2] / path).read_text()

    assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE)
