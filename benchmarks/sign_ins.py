"""What sign-ins cost the others, and that none goes on twice: `python benchmarks/sign_ins.py`.

Serves the starter by `neonkit serve`, with 200 accounts. All of them sign in at once, by their
right passwords, while another client reads a post again and again; one of them comes a little
later. Then each of 1,000 refresh tokens is used 20 times at once: every sign-in may go on once, by
one newest token. Writes `benchmarks/results/sign_ins.md`; takes two minutes, and less with
`RACES=50`. Exit code 1 where the other client's 99th percentile grows by more than 50 ms, where
somebody is not let in, or where a sign-in goes on twice.
"""

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from neonkit import Database, create_engine  # after the path
from neonkit.auth import hash_password
from neonkit.local import LocalServer
from neonkit_starter.posts.models import Post
from neonkit_starter.users.models import User
from support.production import Production, p99, serving, where_and_when

PEOPLE, RACES, RACERS = 200, int(os.environ.get("RACES", "1000")), 20
MOST_LATENCY = 50.0
PASSWORD = "weavers mend the looms at dawn"  # noqa: S105  # of a database that ends with the run
API = "/api/v1"
RESULT = Path(__file__).parent / "results" / "sign_ins.md"
TEXT = """\
# What sign-ins cost the others

`python benchmarks/sign_ins.py`: {machine}, which others may have used as well.

| | |
|---|---|
| another client's 99th percentile before | {before:.1f} ms |
| while {people} people sign in at once | {meanwhile:.1f} ms |
| of these {people}, were let in | {let_in}, in {seconds:.1f} s |
| somebody who signs in among them | {among}, after {waited:.1f} s |
| sign-ins whose refresh token was used {racers} times at once | {races:,} |
| of these, with two newest tokens | {twice} |
| with none | {none} |
"""
_POST = f"GET {API}/posts/1 HTTP/1.1\r\nHost: here\r\n\r\n".encode()


@dataclass(frozen=True)
class Crowd:
    """What many sign-ins at once cost.

    Attributes:
        before: another client's 99th percentile in milliseconds.
        meanwhile: the same while they sign in.
        let_in: how many were.
        seconds: until the last of them was.
        among: the status of somebody else's sign-in.
        waited: their seconds.
    """

    before: float
    meanwhile: float
    let_in: int
    seconds: float
    among: int
    waited: float


async def _fill(url: str) -> None:
    hashed = await hash_password(PASSWORD)
    async with Database(create_engine(url)) as database, database.session() as session:
        session.add_all(
            User(username=f"user-{n}", email=f"user-{n}@example.com", hashed_password=hashed)
            for n in range(PEOPLE + 1)
        )
        await session.flush()
        session.add(Post(author_id=1, title="On looms", content="They weave."))
        await session.commit()


async def _sign_in(client: httpx2.AsyncClient, number: int) -> httpx2.Response:
    form = {"username": f"user-{number}", "password": PASSWORD}
    return await client.post(f"{API}/auth/token", data=form)


async def _crowd(served: Production, client: httpx2.AsyncClient) -> Crowd:
    before = p99(await served.ask(_POST, times=500))
    started = time.monotonic()
    other = asyncio.create_task(served.ask(_POST, times=500))
    crowd = [asyncio.create_task(_sign_in(client, n)) for n in range(1, PEOPLE)]
    await asyncio.sleep(0.2)
    among = await _sign_in(client, PEOPLE)
    waited = time.monotonic() - started - 0.2
    answers = [*await asyncio.gather(*crowd), among]
    seconds = time.monotonic() - started
    let_in = sum(answer.is_success for answer in answers)
    return Crowd(before, p99(await other), let_in, seconds, among.status_code, waited)


async def _races(client: httpx2.AsyncClient) -> list[int]:
    """How many newest tokens each race leaves."""
    newest = []
    for _ in range(RACES):
        first = (await _sign_in(client, 0)).json()["refresh_token"]
        answers = await asyncio.gather(*(_renew(client, first) for _ in range(RACERS)))
        heads = {
            answer.json()["refresh_token"]
            for answer in answers
            if answer.status_code == httpx2.codes.OK
        }
        lives = [await _renew(client, head) for head in heads]
        newest.append(sum(answer.is_success for answer in lives))
    return newest


async def _renew(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.post(f"{API}/auth/refresh", json={"refresh_token": token})


async def _run() -> int:
    limits = httpx2.Limits(max_connections=PEOPLE + RACERS)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with (
            await LocalServer.start(place / "postgres", is_durable=False) as server,
            serving(place, server.url, LOGIN_MAX_FAILURES="1000") as served,
        ):
            await _fill(server.url)
            options: dict[str, Any] = {"base_url": f"http://127.0.0.1:{served.port}"}
            async with httpx2.AsyncClient(**options, limits=limits, timeout=60) as client:
                crowd = await _crowd(served, client)
                newest = await _races(client)
    twice, none = sum(each > 1 for each in newest), sum(each < 1 for each in newest)
    text = TEXT.format(
        machine=where_and_when(), people=PEOPLE, races=RACES, racers=RACERS, twice=twice,
        none=none, **vars(crowd),
    )  # fmt: skip
    Console().print(text, markup=False)
    RESULT.write_text(text)
    is_late = crowd.meanwhile - crowd.before > MOST_LATENCY
    return int(is_late or crowd.let_in < PEOPLE or bool(twice or none))


if __name__ == "__main__":
    sys.exit(asyncio.run(_run()))
