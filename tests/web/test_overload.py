"""Overload: what cannot be answered in time is refused at the door, and health never is."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

import neonkit
from neonkit import Settings
from neonkit.web import admission
from neonkit.web._admission import Admission

FRONT = "https://front.example"
_begun: list[float] = []


@pytest.fixture
def app() -> FastAPI:
    """An app with a route that costs nothing but processor time."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test", request_timeout=60))  # on a slow machine too
    _begun.clear()

    @app.get("/work")
    async def work() -> None:
        _begun.append(time.monotonic())
        time.sleep(0.001)  # noqa: ASYNC251  # processor time

    @app.post("/work")
    async def post_work() -> None:
        _begun.append(time.monotonic())

    return app


@dataclass(eq=False)
class _Line:
    is_full: bool = False
    is_catching_up: bool = False
    waiting: int = 0


@contextmanager
def _full() -> Iterator[None]:
    line = _Line(is_full=True)
    admission.lines.add(line)
    try:
        yield
    finally:
        admission.lines.remove(line)


async def test_liveness_does_not_stand_in_line(client: AsyncClient) -> None:
    """Behind 250 requests that have come before, it is answered when few of them have begun."""
    await client.get("/work")
    asking = [asyncio.create_task(client.get("/work")) for _ in range(250)]
    await asyncio.sleep(0.01)
    before = len(_begun)
    assert (await client.get("/health/live")).status_code == 200
    assert len(_begun) - before < 50
    answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {200}


async def test_what_cannot_be_answered_in_time_is_refused(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the longest line, none is begun; the refusal is one line in the log, not one each."""
    asking = [asyncio.create_task(client.get("/work")) for _ in range(1200)]
    statuses = [answer.status_code for answer in await asyncio.gather(*asking)]
    assert statuses.count(503) == 1200 - len(_begun)
    assert 16 <= len(_begun) < 1100  # fewer where the machine is slow
    assert (await client.get("/work")).status_code == 200
    said = [each.getMessage() for each in caplog.records if each.name == "neonkit"]
    assert [each.partition(":")[0] for each in said].count("overloaded") == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refusal_is_a_problem_like_any_other(client: AsyncClient, method: str) -> None:
    """Where the pool's line is full: 503 with Retry-After and the request's own id, unbegun."""
    with _full():
        refused = await client.request(method, "/work", headers={"X-Request-ID": "mine"})
        assert (await client.get("/health/live")).status_code == 200
    assert (refused.status_code, _begun) == (503, [])
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"] == refused.json()["instance"] == "mine"
    assert refused.json()["type"] == "/problems/overloaded"
    for name in ("retry-after", "x-process-time", "server-timing", "x-content-type-options"):
        assert name in refused.headers
    assert (await client.request(method, "/work")).status_code == 200


async def test_a_page_of_another_origin_reads_the_refusal() -> None:
    """503, 413 and 431 have the CORS headers of every answer, so its script learns what to do."""
    app = FastAPI()
    settings = Settings(environment="test", cors_origins=[FRONT], max_body_bytes=1024)
    neonkit.install(app, settings)
    app.add_api_route("/work", lambda: None, methods=["POST"])
    headers = {"Origin": FRONT}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        with _full():
            busy = await client.post("/work", headers=headers)
        large = await client.post("/work", headers=headers, content=b"1" * 1025)
        long = await client.post("/work", headers=headers | {"X-Long": "a" * 40_000})

    for status, answer in ((503, busy), (413, large), (431, long)):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == FRONT
        assert answer.headers["vary"] == "Origin"


async def test_a_line_is_long_for_a_burst_and_short_in_an_overload() -> None:
    """At 100 answers a second 200 may wait; from the first refusal on no more than 15.

    Whoever waited for a wake-up is not refused, and a line whose pace nobody knows has room.
    """
    now, line = 0.0, _Line()
    door = Admission(lambda: now)
    door.lines.add(line)
    await door.begin("/")

    def is_closed(waiting: int) -> bool:
        line.waiting = waiting
        return door.is_closed

    assert not is_closed(900)
    for _ in range(40):
        door.end()
        now += 0.01
    assert [is_closed(waiting) for waiting in (200, 400)] == [False, True]
    assert not door.refuses("/health/live")
    line.is_catching_up = True
    assert not is_closed(400)
    line.is_catching_up = False
    assert not is_closed(200)
    line.waiting = 400
    assert door.refuses("/")
    assert [is_closed(waiting) for waiting in (200, 16, 15)] == [True, True, False]
    assert not is_closed(400)  # it was short a moment ago: nobody knows its pace


async def test_who_was_let_in_counts_before_they_come() -> None:
    """A thousand in one turn of the event loop are as many as may wait; then they have come."""
    door = Admission()
    await door.begin("/")
    for _ in range(1000):
        assert not door.is_closed
        door.expect_one()
    assert door.is_closed
    await asyncio.sleep(0)
    assert not door.is_closed
